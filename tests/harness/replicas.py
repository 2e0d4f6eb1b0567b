"""A suite in this process with as many executors as a test likes, each with its own telemetry."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from harness.fakes import until
from harness.suite import Kit, free_port
from pydantic import SecretStr

from pentad_allinone.app import open_suite
from pentad_allinone.layout import SERVICES, Layout, claim_layout
from pentad_chassis.telemetry import Telemetry, silent_telemetry
from pentad_cli.connection import Connection, open_client
from pentad_executor import app as executor
from pentad_executor.config import Config as ExecutorConfig

FIRST = "executor"
"""The executor that belongs to the suite; its settings come from the environment."""

_CALLS = "rpc_server_call_duration_seconds_count"
_TURN = "pentad.executor.v1.ExecutorService/ExecuteTurn"
_LIST = "pentad.state.v1.RegistryService/ListInstances"


class Replicas:
    """A suite and its executors, counted at the executors themselves."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._telemetry: dict[str, Telemetry] = {}

    def telemetry(self, name: str, _: object = None) -> Telemetry:
        """Return the telemetry of a service, which this class reads."""
        self._telemetry[name] = silent_telemetry(name if name in SERVICES else FIRST)
        return self._telemetry[name]

    def address(self, name: str) -> str:
        """Return where a replica listens."""
        return f"unix:{self.layout.sockets}/{name}"

    @asynccontextmanager
    async def executor(self, name: str, **settings: Any) -> AsyncIterator[None]:
        """Run one more executor inside the block; leaving it drains it."""
        at = {"address": self.address(name), "state_address": self.address("state")}
        config = ExecutorConfig.load().model_copy(update={**at, **settings})
        async with executor.open_app(config, self.telemetry(name)):
            await self.seen()
            yield

    @asynccontextmanager
    async def kit(self) -> AsyncIterator[Kit]:
        """Connect to the public API."""
        key = SecretStr(self.layout.api_key_file.read_text("utf-8").strip())
        async with open_client(Connection(address=self.layout.address, api_key=key)) as client:
            yield Kit(client)

    def turns(self) -> Counter[str]:
        """Return how many turns each executor has performed."""
        counts = {name: _calls(each, _TURN) for name, each in self._telemetry.items()}
        return Counter({name: count for name, count in counts.items() if count})

    async def seen(self) -> None:
        """Return once the orchestrator has acted on what the registry lists now."""
        state = self._telemetry["state"]
        looked = _calls(state, _LIST)
        await until(lambda: _calls(state, _LIST) >= looked + 3, timeout_s=10.0)


@asynccontextmanager
async def open_replicas(data_dir: Path) -> AsyncIterator[Replicas]:
    """Run a suite inside the block."""
    async with AsyncExitStack() as stack:
        layout = stack.enter_context(claim_layout(data_dir, f"127.0.0.1:{free_port()}"))
        replicas = Replicas(layout)
        await stack.enter_async_context(open_suite(layout, replicas.telemetry))
        yield replicas


def _calls(telemetry: Telemetry, method: str) -> int:
    labels = {"rpc_method": method, "rpc_response_status_code": "OK"}
    return int(telemetry.metrics.registry.get_sample_value(_CALLS, labels) or 0)
