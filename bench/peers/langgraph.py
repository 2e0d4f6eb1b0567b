"""LangGraph with its Postgres checkpointer, behind FastAPI."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.http_client import HttpClient
from bench.load import System, WrongAnswer
from bench.peers.installed import APPS, perform
from bench.peers.postgres import open_postgres
from bench.peers.uvicorn import BODY, asking, open_app, python
from bench.site import Site
from bench.work import TOKENS, Work

_FIELD = b"data: "


@asynccontextmanager
async def open_langgraph(site: Site, name: str) -> AsyncIterator[System]:
    """Run it while the block runs."""
    setup = python(), APPS / "langgraph_app.py"
    async with open_postgres(site) as postgres:
        variables = {"POSTGRES_URI": postgres.url, "OPENAI_BASE_URL": site.model_url}
        await perform(*setup, variables=variables)
        async with open_app("langgraph", variables, site.log("app")) as (client, pid):
            runs = {
                Work.SIMPLE: asking(client, "/simple"),
                Work.STEPS: asking(client, "/steps"),
                Work.STREAM: lambda: _stream(client),
            }
            yield System(name, runs, {"uvicorn": pid, "postgres": postgres.pid})


async def _stream(client: HttpClient) -> float:
    """Receive one event for each token, and return when the first one came."""
    first, body = 0.0, b""
    async for part in client.stream("/stream", BODY):
        first = first or time.perf_counter()
        body += part
    tokens = [json.loads(event.removeprefix(_FIELD)) for event in body.split(b"\n\n") if event]
    if tuple(tokens) != TOKENS:
        raise WrongAnswer(f"/stream sent {len(tokens)} of {len(TOKENS)} tokens")
    return first
