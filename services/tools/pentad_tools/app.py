"""The one place where the parts of the tools service meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from pentad.state.v1.effect_service_pb2_grpc import EffectServiceStub
from pentad.state.v1.trace_service_pb2 import RecordSpansRequest, Span
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad.tools.v1.tools_service_pb2_grpc import add_ToolsServiceServicer_to_server
from pentad_chassis.channel import open_channel
from pentad_chassis.clock import SystemClock
from pentad_chassis.server import serving
from pentad_chassis.spans import recording_spans
from pentad_chassis.telemetry import Telemetry
from pentad_tools.attempt import Attempts
from pentad_tools.catalogue import load_catalogue
from pentad_tools.config import Config
from pentad_tools.core import ToolsCore
from pentad_tools.ledger import Ledger
from pentad_tools.metrics import CallMetrics
from pentad_tools.runner import Runner
from pentad_tools.servicer import ToolsServicer
from pentad_tools.tasks import open_tasks
from pentad_tools.threads import Threads
from pentad_tools.tool import ToolContext

if TYPE_CHECKING:
    from pentad.state.v1.trace_service_pb2_grpc import TraceServiceAsyncStub

_RECORD_SPANS_S = 2.0


@asynccontextmanager
async def open_app(config: Config, telemetry: Telemetry) -> AsyncIterator[None]:
    """Serve while the block runs; leaving it undoes every step in reverse."""
    catalogue = load_catalogue()
    async with (
        open_channel("state", config.state_address, config, telemetry) as state,
        recording_spans(telemetry, partial(_record, TraceServiceStub(state))),
        open_tasks(telemetry, config.drain_grace_s) as tasks,
    ):
        ledger = Ledger(EffectServiceStub(state), tasks, config.hold_s, telemetry)
        threads = Threads(config.threads_max)
        telemetry.health.watch("threads", threads.condition)
        runner = Runner(threads, telemetry)
        attempts = Attempts(ledger, runner, tasks)
        metrics = CallMetrics(telemetry.metrics)
        core = ToolsCore(catalogue, attempts, partial(_context, config), telemetry, metrics)
        service = partial(add_ToolsServiceServicer_to_server, ToolsServicer(core))
        async with serving(config, telemetry, [service]):
            yield


def _context(config: Config, tenant: str, idempotency_key: str) -> ToolContext:
    return ToolContext(
        tenant=tenant,
        idempotency_key=idempotency_key,
        data_dir=config.data_dir,
        notebook_dir=config.notebook_dir,
        http_allow=config.http_allow,
        clock=SystemClock(),
    )


async def _record(stub: "TraceServiceAsyncStub", spans: list[Span]) -> None:
    await stub.RecordSpans(RecordSpansRequest(spans=spans), timeout=_RECORD_SPANS_S)
