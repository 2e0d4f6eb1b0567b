"""A real tools service over a unix socket, with the effect ledger in memory beside it."""

import importlib
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from integration.tools.ledger import MemoryLedger, MemoryTraces

from pentad.state.v1.effect_service_pb2_grpc import add_EffectServiceServicer_to_server
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest, InvokeToolResponse
from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceStub
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.server import serving
from pentad_chassis.telemetry import Telemetry, open_telemetry, silent_telemetry
from pentad_tools.app import open_app
from pentad_tools.config import Config

if TYPE_CHECKING:
    from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceAsyncStub

TIMEOUT_S = 10.0

LIVELY = pytest.mark.parametrize("hold_s", [0.15])
"""Has calls give a sign of life every 50 ms."""


@dataclass
class Kit:
    """The service under test and what is around it."""

    stub: "ToolsServiceAsyncStub"
    ledger: MemoryLedger
    traces: MemoryTraces
    probe: Any
    client: Telemetry
    log: io.StringIO
    app: AsyncExitStack

    async def invoke(
        self,
        tool: str,
        arguments: str = "{}",
        call_id: str = "1.0.0",
        timeout: float = TIMEOUT_S,
        not_done_up_to: int = 0,
    ) -> InvokeToolResponse:
        """Invoke a tool as the orchestrator does."""
        request = InvokeToolRequest(
            tenant="acme",
            run_id="07abc",
            call_id=call_id,
            tool=tool,
            arguments=Payload(content_type="application/json", text=arguments),
            not_done_up_to=not_done_up_to,
        )
        return await self.stub.InvokeTool(request, timeout=timeout)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put the tools of the tests on the path, as if they were installed."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "plugin")
    probe = importlib.import_module("probe_tools").renew()
    yield probe
    probe.release.set()
    probe.release_thread.set()


@pytest.fixture
def hold_s() -> float:
    """How long the ledger holds an entry without a sign of life: no test waits for one."""
    return TIMEOUT_S


@pytest.fixture
async def kit(tmp_path: Path, probe: Any, hold_s: float) -> AsyncIterator[Kit]:
    ledger, traces, log = MemoryLedger(), MemoryTraces(), io.StringIO()
    state = f"unix:{tmp_path}/state"
    address = f"unix:{tmp_path}/tools"
    config = Config(address=address, state_address=state, hold_s=hold_s, data_dir=tmp_path)
    services = [
        partial(add_EffectServiceServicer_to_server, ledger),
        partial(add_TraceServiceServicer_to_server, traces),
    ]
    client = open_telemetry("orchestrator", stream=io.StringIO())
    async with (
        serving(Settings(address=state), silent_telemetry("state"), services),
        open_channel("tools", address, Settings(), client) as channel,
        AsyncExitStack() as app,
    ):
        telemetry = open_telemetry("tools", "debug", stream=log)
        await app.enter_async_context(open_app(config, telemetry))
        yield Kit(ToolsServiceStub(channel), ledger, traces, probe, client, log, app)
        probe.release.set()
