"""A Python app behind uvicorn, as its manual runs one in production."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.http_client import HttpClient, open_http_client
from bench.load import Run, WrongAnswer
from bench.peers.installed import APPS, INSTALLED, program
from bench.processes import free_address, running
from bench.start import until_done
from bench.work import ANSWER, QUESTION

BODY = {"question": QUESTION}


def python() -> Path:
    """Return the interpreter that the peers are installed for; Missing without one."""
    return program(INSTALLED / "venv" / "bin" / "python")


@asynccontextmanager
async def open_app(
    name: str, variables: Mapping[str, str | Path], log: Path
) -> AsyncIterator[tuple[HttpClient, int]]:
    """Serve `apps/NAME_app.py` while the block runs; yields a client and the process id."""
    address = free_address()
    host, _, port = address.partition(":")
    options = (
        *("--app-dir", APPS, "--host", host, "--port", port),
        *("--workers", str(os.cpu_count()), "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75"),
    )
    command = (python(), "-m", "uvicorn", f"{name}_app:app", *options)
    with running(command, log, variables) as server:
        async with open_http_client(address) as client:
            await until_done(asking(client, "/simple"), (server,))
            yield client, server.pid


def asking(client: HttpClient, path: str) -> Run:
    """Return a run that is one request, and the answer to it."""

    async def run() -> None:
        answered = json.loads(await client.post(path, BODY))
        if answered != {"answer": ANSWER}:
            raise WrongAnswer(f"{path} ended with {answered!r}")

    return run
