"""Restate: its server, and a service on Node.js behind it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.peers.http_client import open_http_client
from bench.peers.peer import (
    APPS,
    INSTALLED,
    Missing,
    Peer,
    Site,
    Work,
    until_done,
    with_environment,
)
from bench.peers.uvicorn import asking
from bench.processes import free_address, running

_PACKAGES = INSTALLED / "node_modules"


@asynccontextmanager
async def open_restate(site: Site) -> AsyncIterator[Peer]:
    """Run it while the block runs."""
    ingress, admin, endpoint = (free_address() for _ in range(3))
    commands = _server(site.data, ingress, admin), _service(endpoint)
    with (
        running(commands[0], site.log("server")) as server,
        running(commands[1], site.log("app")) as service,
    ):
        async with open_http_client(admin) as operator, open_http_client(ingress) as client:
            simple = asking(client, "/Runs/simple")

            async def begin() -> None:
                await operator.post("/deployments", {"uri": f"http://{endpoint}", "force": True})
                await simple()

            await until_done(begin, server, service)
            runs = {Work.SIMPLE: simple, Work.STEPS: asking(client, "/Runs/steps")}
            yield Peer("Restate", runs, {"restate-server": server.pid, "node": service.pid})


def _server(folder: Path, ingress: str, admin: str) -> tuple[str | Path, ...]:
    """Return its command; where it listens and keeps its data is all that differs from default."""
    variables: dict[str, str | Path] = {
        "RESTATE_BASE_DIR": folder,
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_ADDRESS": free_address(),
        "RESTATE_INGRESS__BIND_ADDRESS": ingress,
        "RESTATE_ADMIN__BIND_ADDRESS": admin,
        "RESTATE_DISABLE_TELEMETRY": "true",
    }
    # The binary itself: the script that npm puts beside it would be one process more.
    binary = next(_PACKAGES.glob("@restatedev/restate-server-*/bin/restate-server"), None)
    if binary is None:
        raise Missing("its server is not installed; bench/peers/install does it")
    return with_environment(variables, binary, "--no-logo")


def _service(endpoint: str) -> tuple[str | Path, ...]:
    """Return the command of the service; the SDK needs a newer Node.js than most systems have."""
    node = next(_PACKAGES.glob("node-*/bin/node"), None) or shutil.which("node")
    if node is None:
        raise Missing("there is no Node.js")
    variables: dict[str, str | Path] = {
        "NODE_PATH": _PACKAGES,
        "NODE_ENV": "production",
        "PORT": endpoint.partition(":")[2],
    }
    return with_environment(variables, node, APPS / "restate_app.cjs")
