"""Four services in this process and the fifth in a process of its own, which dies where it is told.

Whatever is not to die needs no process: it is the same app. The fifth is forked from a server that
has imported everything, so that it is there again in a moment.
"""

import asyncio
import multiprocessing
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness.suite import Kit

from pentad_chassis.failpoints import armed
from pentad_chassis.telemetry import silent_telemetry
from pentad_cli.connection import Connection, open_client
from pentad_executor.app import open_app as open_executor
from pentad_executor.config import Config as ExecutorConfig
from pentad_gateway.app import open_app as open_gateway
from pentad_gateway.config import Config as GatewayConfig
from pentad_orchestrator.app import open_app as open_orchestrator
from pentad_orchestrator.config import Config as OrchestratorConfig
from pentad_state.app import open_app as open_state
from pentad_state.config import Config as StateConfig
from pentad_tools import tool as tools
from pentad_tools.app import open_app as open_tools
from pentad_tools.catalogue import Catalogue
from pentad_tools.config import Config as ToolsConfig
from pentad_tools.tool import Checked, Effect, ToolContext

_APPS: Mapping[str, tuple[Any, Any]] = {
    "state": (StateConfig, open_state),
    "tools": (ToolsConfig, open_tools),
    "executor": (ExecutorConfig, open_executor),
    "orchestrator": (OrchestratorConfig, open_orchestrator),
    "gateway": (GatewayConfig, open_gateway),
}
_START_S = 20.0
_STOP_S = 20.0
_LINGERS_S = 0.5
"""Longer than a third of a lease and of a hold, so that both are renewed meanwhile."""

_COMMON: Mapping[str, Any] = {"breaker_reset_s": 0.2, "drain_grace_s": 0.2}
_OWN: Mapping[str, Mapping[str, Any]] = {
    "state": {"reply_s": 2.0},
    "tools": {"hold_s": 0.5},
    "orchestrator": {
        "lease_s": 0.8,
        "job_lease_s": 1.0,
        "claim_wait_s": 10.0,
        "executors_poll_s": 0.2,
        "retry_s_max": 0.2,
    },
}


@tools.tool(effect=Effect.IDEMPOTENT)
async def put(path: str, context: ToolContext) -> str:
    """Write the call's key into a file."""
    _write(path, context)
    return "put"


@tools.tool(effect=Effect.ONCE, timeout_s=20.0)
async def send(path: str, context: ToolContext) -> str:
    """Write the call's key into a file, and take a while to say so."""
    _write(path, context)
    await asyncio.sleep(_LINGERS_S)
    return "sent"


@send.check
async def was_sent(path: str, context: ToolContext) -> Checked:
    """Look for the key in the file."""
    return tools.Done("sent") if context.idempotency_key in written(path) else tools.NOT_DONE


def _write(path: str, context: ToolContext) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{context.idempotency_key}\n")


def written(path: str | Path) -> list[str]:
    """Return the keys that calls wrote into a file."""
    file = Path(path)
    return file.read_text("utf-8").splitlines() if file.exists() else []


class Mortal:
    """A service in a process of its own."""

    def __init__(self, service: str, settings: dict[str, Any]) -> None:
        self._service = service
        self._settings = settings
        self._process: ForkServerProcess | None = None

    async def start(self, point: str = "") -> None:
        """Start it; with a point, to die the first time it gets there, or with `@N` the Nth."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["harness.walk"])
        ready, told = context.Pipe(duplex=False)
        work = (self._service, self._settings, point, told)
        self._process = context.Process(target=_serve, args=work, daemon=True)
        self._process.start()
        told.close()
        assert await asyncio.to_thread(ready.poll, _START_S), f"{self._service} does not start"
        ready.close()

    async def stop(self) -> None:
        """Ask it to end in order; at a point on the way it may die."""
        process = self._running()
        process.terminate()
        await asyncio.to_thread(process.join, _STOP_S)
        assert process.exitcode in {0, -signal.SIGKILL}, f"{self._service}: {process.exitcode}"

    async def died(self, timeout_s: float) -> bool:
        """Whether it died at its point in time."""
        await asyncio.to_thread(self._running().join, timeout_s)
        return self._running().exitcode == -signal.SIGKILL

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join(_STOP_S)

    def _running(self) -> ForkServerProcess:
        assert self._process is not None, "it was started"
        return self._process


class Parts:
    """A suite: one service that may die, and the others."""

    def __init__(self, folder: Path, engine: str, mortal: str) -> None:
        self._folder = folder
        self._engine = engine
        self._mortal = mortal
        self._stack = AsyncExitStack()
        self._orchestrator = AsyncExitStack()
        self.fifth = Mortal(mortal, _settings(folder, mortal, engine) if mortal else {})
        self.kit: Kit

    async def open(self, point: str) -> None:
        """Start all; the one that may die is to die at a point, if one is given."""
        self._stack.enter_context(_own_tools())
        self._stack.callback(self.fifth.end)
        for service in _APPS:
            if service == self._mortal:
                await self.fifth.start(point)
            elif service != "orchestrator":
                await self._stack.enter_async_context(self._app(service))
            else:
                await self.open_orchestrator()
        connection = Connection(
            address=f"unix:{self._folder}/gateway",
            api_key_file=self._folder / "api-key",
            breaker_reset_s=0.2,
        )
        opened = open_client(connection, silent_telemetry("client"))
        self.kit = Kit(await self._stack.enter_async_context(opened))

    async def open_orchestrator(self) -> None:
        """Start an orchestrator in this process."""
        await self._orchestrator.enter_async_context(self._app("orchestrator"))

    async def close_orchestrator(self) -> None:
        """Ask it to end in order."""
        await self._orchestrator.aclose()

    async def close(self) -> None:
        """End all."""
        await self._orchestrator.aclose()
        await self._stack.aclose()

    def _app(self, service: str) -> Any:
        return _open(service, _settings(self._folder, service, self._engine))


@asynccontextmanager
async def open_parts(
    folder: Path, engine: str, mortal: str = "", point: str = ""
) -> AsyncIterator[Parts]:
    """Run a suite inside the block; without a mortal, all of it is in this process."""
    parts = Parts(folder, engine, mortal)
    try:
        await parts.open(point)
        yield parts
    finally:
        await parts.close()


def _open(service: str, settings: dict[str, Any]) -> Any:
    config_type, open_app = _APPS[service]
    return open_app(config_type(**settings), silent_telemetry(service))


def _settings(folder: Path, service: str, engine: str) -> dict[str, Any]:
    at = {f"{name}_address": f"unix:{folder}/{name}" for name in _APPS}
    config_type, _ = _APPS[service]
    peers = {field: address for field, address in at.items() if field in config_type.model_fields}
    given = {"address": at[f"{service}_address"], **peers, **_COMMON, **_OWN.get(service, {})}
    match service:
        case "state":
            return {**given, "redis_url": engine}
        case "tools":
            return {**given, "notebook_dir": folder / "notebooks"}
        case "gateway":
            return {**given, "api_key_file": folder / "api-key"}
        case _:
            return given


def _serve(service: str, settings: dict[str, Any], point: str, told: Any) -> None:
    """Be the process of a service until SIGTERM, or until its point."""

    async def serve() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with _open(service, settings):
            told.send(None)
            await stop.wait()

    with ExitStack() as stack:
        stack.enter_context(_own_tools())
        if point:
            name, _, time = point.partition("@")
            stack.enter_context(armed({name: f"kill@{time}" if time else "kill"}))
        asyncio.run(serve())


@contextmanager
def _own_tools() -> Iterator[None]:
    with patch("pentad_tools.app.load_catalogue", lambda: Catalogue([put, send])):
        yield
