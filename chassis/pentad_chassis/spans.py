"""Finished spans on their way to the state service, which keeps the recent ones."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp
from opentelemetry.trace import SpanKind, StatusCode

from pentad.state.v1 import trace_service_pb2 as pb
from pentad_chassis.errors import ServiceError
from pentad_chassis.semconv import PENTAD_LINKED_SPAN
from pentad_chassis.tracer import RecordingSpan

if TYPE_CHECKING:
    from pentad_chassis.telemetry import Telemetry

_KEPT = 10_000
"""Spans held at most; older ones are dropped, for a trace must never hold up its run."""

_BATCH = 2000
_INTERVAL_S = 0.5
"""The longer, the more spans of a trace are stored at once; `pentad trace` lags by as much."""

_KINDS = {SpanKind.SERVER: pb.Span.KIND_SERVER, SpanKind.CLIENT: pb.Span.KIND_CLIENT}


class SpanBuffer:
    """Holds spans, sampled ones only, until somebody takes them; nearly all have ended."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._ended: deque[RecordingSpan] = deque(maxlen=_KEPT)
        self._begun: dict[RecordingSpan, None] = {}

    def add(self, span: RecordingSpan) -> None:
        """Keep a span that has ended."""
        self._begun.pop(span, None)
        if span.context.trace_flags.sampled:
            self._ended.append(span)

    def begin(self, span: RecordingSpan) -> None:
        """Keep a span that goes on, to be told of twice if it does so for long."""
        if span.context.trace_flags.sampled and len(self._begun) < _KEPT:
            self._begun[span] = None

    def take(self) -> list[pb.Span]:
        """Return the oldest spans, up to a batch of them, and forget them."""
        begun = list(islice(self._begun, _BATCH))
        for span in begun:
            del self._begun[span]
        count = min(_BATCH - len(begun), len(self._ended))
        taken = (*begun, *(self._ended.popleft() for _ in range(count)))
        return [to_proto(span, self._service) for span in taken]


@asynccontextmanager
async def recording_spans(
    telemetry: "Telemetry", record: Callable[[list[pb.Span]], Awaitable[object]]
) -> AsyncIterator[None]:
    """Hand finished spans to `record` while the block runs; what it refuses is dropped.

    Leaving the block hands over what is left, to the collector as well.
    """

    async def flush() -> None:
        while spans := telemetry.spans.take():
            try:
                await record(spans)
            except ServiceError as error:
                telemetry.log.debug("spans dropped", count=len(spans), reason=error.reason)
                return

    async def keep_flushing() -> None:
        while True:
            await asyncio.sleep(_INTERVAL_S)
            await flush()

    task = asyncio.create_task(keep_flushing())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await flush()
        await asyncio.to_thread(telemetry.close)


def to_proto(span: RecordingSpan, service: str) -> pb.Span:
    """Return the span as it is stored."""
    attributes = {key: str(value) for key, value in span.attributes.items()}
    for link in span.links:
        attributes[PENTAD_LINKED_SPAN] = f"{link.context.span_id:016x}"
    return pb.Span(
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        parent_span_id=f"{span.parent.span_id:016x}" if span.parent else "",
        service=service,
        name=span.name,
        kind=_KINDS.get(span.kind, pb.Span.KIND_INTERNAL),
        start_time=_time(span.start_time),
        end_time=_time(span.end_time) if span.end_time else None,
        failed=span.status.status_code is StatusCode.ERROR,
        attributes=attributes,
    )


def _time(nanoseconds: int) -> Timestamp:
    seconds, nanos = divmod(nanoseconds, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)
