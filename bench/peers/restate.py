"""Restate: its server, and a service on Node.js behind it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.http_client import open_http_client
from bench.load import System
from bench.peers.installed import APPS, INSTALLED
from bench.peers.uvicorn import asking
from bench.processes import free_address, running
from bench.site import Missing, Site
from bench.start import until_done
from bench.work import Work

_PACKAGES = INSTALLED / "node_modules"


@asynccontextmanager
async def open_restate(site: Site, name: str) -> AsyncIterator[System]:
    """Run it while the block runs."""
    ingress, admin, endpoint = (free_address() for _ in range(3))
    server_runs = running(_server(), site.log("server"), _places(site.data, ingress, admin))
    service_runs = running(_service(), site.log("app"), _of_service(endpoint))
    with server_runs as server, service_runs as service:
        async with open_http_client(admin) as operator, open_http_client(ingress) as client:
            simple = asking(client, "/Runs/simple")

            async def begin() -> None:
                await operator.post("/deployments", {"uri": f"http://{endpoint}", "force": True})
                await simple()

            await until_done(begin, (server, service))
            runs = {Work.SIMPLE: simple, Work.STEPS: asking(client, "/Runs/steps")}
            yield System(name, runs, {"restate-server": server.pid, "node": service.pid})


def _server() -> tuple[str | Path, ...]:
    # The binary itself: the script that npm puts beside it would be one process more.
    binary = next(_PACKAGES.glob("@restatedev/restate-server-*/bin/restate-server"), None)
    if binary is None:
        raise Missing("its server is not installed; bench/peers/install does it")
    return (binary, "--no-logo")


def _places(folder: Path, ingress: str, admin: str) -> dict[str, str | Path]:
    """Return where the server listens and keeps its data; all else is as by default."""
    return {
        "RESTATE_BASE_DIR": folder,
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_ADDRESS": free_address(),
        "RESTATE_INGRESS__BIND_ADDRESS": ingress,
        "RESTATE_ADMIN__BIND_ADDRESS": admin,
        "RESTATE_DISABLE_TELEMETRY": "true",
    }


def _service() -> tuple[str | Path, ...]:
    """Return the command of the service; the SDK needs a newer Node.js than most systems have."""
    node = next(_PACKAGES.glob("node-*/bin/node"), None) or shutil.which("node")
    if node is None:
        raise Missing("there is no Node.js")
    return (node, APPS / "restate_app.cjs")


def _of_service(endpoint: str) -> dict[str, str | Path]:
    return {
        "NODE_PATH": _PACKAGES,
        "NODE_ENV": "production",
        "PORT": endpoint.partition(":")[2],
    }
