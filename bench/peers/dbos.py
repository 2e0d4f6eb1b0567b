"""DBOS with Postgres, behind FastAPI."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.load import System
from bench.peers.postgres import open_postgres
from bench.peers.uvicorn import asking, open_app
from bench.site import Site
from bench.work import Work


@asynccontextmanager
async def open_dbos(site: Site, name: str) -> AsyncIterator[System]:
    """Run it while the block runs."""
    async with open_postgres(site) as postgres:
        variables = {"DBOS_SYSTEM_DATABASE_URL": postgres.url}
        async with open_app("dbos", variables, site.log("app")) as (client, pid):
            runs = {Work.SIMPLE: asking(client, "/simple"), Work.STEPS: asking(client, "/steps")}
            yield System(name, runs, {"uvicorn": pid, "postgres": postgres.pid})
