"""The five services in this process, two replicas of each, over one engine."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from harness.engines import running_engine
from harness.suite import Kit, free_port
from harness.wired import APPS, SERVICES

from pentad_chassis.telemetry import silent_telemetry
from pentad_cli.connection import Connection, open_client

REPLICAS = 2

_COMMON: Mapping[str, Any] = {
    "drain_delay_s": 0.5,
    "drain_grace_s": 5.0,
}
_OWN: Mapping[str, Mapping[str, Any]] = {
    "executor": {"registration_ttl_s": 1.5},
    "orchestrator": {"lease_s": 2.0, "claim_wait_s": 5.0, "executors_poll_s": 0.3},
}


class Pairs:
    """Two of each service, any of which can be stopped and started again."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self._redis_url = redis_url
        self._ports = {name: [free_port() for _ in range(REPLICAS)] for name in SERVICES}
        self._running: dict[tuple[str, int], AsyncExitStack] = {}

    def target(self, service: str) -> str:
        """Return where both replicas of a service are, as one gRPC target."""
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self._ports[service])

    async def start(self, service: str, replica: int) -> None:
        """Serve from now on."""
        config_type, open_app = APPS[service]
        config = config_type(**self._settings(service, replica))
        running = AsyncExitStack()
        await running.enter_async_context(open_app(config, silent_telemetry(service)))
        self._running[service, replica] = running

    async def stop(self, service: str, replica: int) -> None:
        """Stop as on SIGTERM: drained."""
        await self._running.pop((service, replica)).aclose()

    async def stop_all(self) -> None:
        """Stop callers before callees."""
        for service, replica in reversed(list(self._running)):
            await self.stop(service, replica)

    def _settings(self, service: str, replica: int) -> dict[str, Any]:
        address = f"127.0.0.1:{self._ports[service][replica]}"
        common = {"address": address, **_COMMON, **_OWN.get(service, {})}
        peers = {f"{name}_address": self.target(name) for name in _CALLEES[service]}
        match service:
            case "state":
                return {**common, "redis_url": self._redis_url}
            case "tools":
                return {**common, **peers, "notebook_dir": self.folder / "notebooks"}
            case "gateway":
                return {**common, **peers, "api_key_file": self.folder / "api-key"}
            case _:
                return {**common, **peers}


_CALLEES = {
    "state": (),
    "tools": ("state",),
    "executor": ("state",),
    "orchestrator": ("state", "executor", "tools"),
    "gateway": ("state", "orchestrator", "tools"),
}


@asynccontextmanager
async def open_pairs(folder: Path) -> AsyncIterator[Pairs]:
    """Run two replicas of each service inside the block."""
    with running_engine("valkey") as url:
        pairs = Pairs(folder, url)
        try:
            for service in SERVICES:
                for replica in range(REPLICAS):
                    await pairs.start(service, replica)
            yield pairs
        finally:
            await pairs.stop_all()


@asynccontextmanager
async def open_kit(pairs: Pairs) -> AsyncIterator[Kit]:
    """Connect to both gateways as one."""
    connection = Connection(address=pairs.target("gateway"), api_key_file=pairs.folder / "api-key")
    async with open_client(connection) as client:
        yield Kit(client)
