"""LangGraph with its Postgres checkpointer, behind FastAPI."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.load import WrongAnswer
from bench.peers.http_client import HttpClient
from bench.peers.peer import APPS, TOKENS, Peer, Site, Work, perform, with_environment
from bench.peers.postgres import open_postgres
from bench.peers.uvicorn import BODY, asking, open_app, python

_FIELD = b"data: "


@asynccontextmanager
async def open_langgraph(site: Site) -> AsyncIterator[Peer]:
    """Run it while the block runs."""
    setup = python(), APPS / "langgraph_app.py"
    async with open_postgres(site) as postgres:
        variables = {"POSTGRES_URI": postgres.url, "OPENAI_BASE_URL": site.model_url}
        await perform(*with_environment(variables, *setup))
        async with open_app("langgraph", variables, site.log("app")) as (client, pid):
            runs = {
                Work.SIMPLE: asking(client, "/simple"),
                Work.STEPS: asking(client, "/steps"),
                Work.STREAM: lambda: _stream(client),
            }
            yield Peer("LangGraph", runs, {"uvicorn": pid, "postgres": postgres.pid})


async def _stream(client: HttpClient) -> None:
    """Receive one event for each token."""
    events = (await client.post("/stream", BODY)).split(b"\n\n")
    tokens = [json.loads(event.removeprefix(_FIELD)) for event in events if event]
    if tuple(tokens) != TOKENS:
        raise WrongAnswer(f"/stream sent {len(tokens)} of {len(TOKENS)} tokens")
