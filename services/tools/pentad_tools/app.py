"""The one place where the parts of the tools service meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from pentad.state.v1.effect_service_pb2_grpc import EffectServiceStub
from pentad.state.v1.entry_service_pb2_grpc import EntryServiceStub
from pentad.state.v1.job_service_pb2_grpc import JobServiceStub
from pentad.state.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad.state.v1.topic_service_pb2 import PublishEventRequest
from pentad.state.v1.topic_service_pb2_grpc import TopicServiceStub
from pentad.state.v1.trace_service_pb2 import RecordSpansRequest, Span
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad.tools.v1.tools_service_pb2_grpc import add_ToolsServiceServicer_to_server
from pentad.tools.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server
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
from pentad_tools.metrics import CallMetrics, webhook_counter
from pentad_tools.runner import Runner
from pentad_tools.servicer import ToolsServicer, WebhookServicer
from pentad_tools.tasks import open_tasks
from pentad_tools.threads import Threads
from pentad_tools.tool import ToolContext
from pentad_tools.webhooks.delivery import Delivery
from pentad_tools.webhooks.posting import Poster
from pentad_tools.webhooks.worker import open_worker

if TYPE_CHECKING:
    from pentad.state.v1.topic_service_pb2_grpc import TopicServiceAsyncStub
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
        core = ToolsCore(
            catalogue,
            attempts,
            partial(_context, config, TopicServiceStub(state)),
            telemetry,
            metrics,
        )
        poster = Poster(config.webhook_allow, SystemClock())
        services = [
            partial(add_ToolsServiceServicer_to_server, ToolsServicer(core)),
            partial(add_WebhookServiceServicer_to_server, WebhookServicer(poster)),
        ]
        delivery = Delivery(
            RunServiceStub(state),
            EntryServiceStub(state),
            poster,
            config.webhook_max_age_s,
            webhook_counter(telemetry.metrics),
        )
        async with (
            open_worker(JobServiceStub(state), delivery, config, telemetry) as worker,
            serving(config, telemetry, services),
        ):
            try:
                yield
            finally:
                # While the last calls are answered, nothing more is taken on.
                worker.rest()


def _context(
    config: Config, topics: "TopicServiceAsyncStub", tenant: str, idempotency_key: str
) -> ToolContext:
    return ToolContext(
        tenant=tenant,
        idempotency_key=idempotency_key,
        data_dir=config.data_dir,
        notebook_dir=config.notebook_dir,
        http_allow=config.http_allow,
        clock=SystemClock(),
        publish=partial(_publish, topics, tenant),
    )


async def _publish(topics: "TopicServiceAsyncStub", tenant: str, event: TopicEvent) -> int:
    response = await topics.PublishEvent(PublishEventRequest(tenant=tenant, event=event))
    return response.event.seq


async def _record(stub: "TraceServiceAsyncStub", spans: list[Span]) -> None:
    await stub.RecordSpans(RecordSpansRequest(spans=spans), timeout=_RECORD_SPANS_S)
