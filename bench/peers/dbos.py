"""DBOS with Postgres, behind FastAPI."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.peers.peer import Peer, Site, Work
from bench.peers.postgres import open_postgres
from bench.peers.uvicorn import asking, open_app


@asynccontextmanager
async def open_dbos(site: Site) -> AsyncIterator[Peer]:
    """Run it while the block runs."""
    async with open_postgres(site) as postgres:
        variables = {"DBOS_SYSTEM_DATABASE_URL": postgres.url}
        async with open_app("dbos", variables, site.log("app")) as (client, pid):
            runs = {Work.SIMPLE: asking(client, "/simple"), Work.STEPS: asking(client, "/steps")}
            yield Peer("DBOS", runs, {"uvicorn": pid, "postgres": postgres.pid})
