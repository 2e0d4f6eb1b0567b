"""Logs and traces as values: every service holds its own, so that five can share a process."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, TextIO

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import FilteringBoundLogger

from pentad_chassis.config import Settings
from pentad_chassis.export import Export, open_export
from pentad_chassis.health import Health
from pentad_chassis.logs import LEVELS, SILENT, about, open_log
from pentad_chassis.metrics import Metrics
from pentad_chassis.sampling import rate_limited
from pentad_chassis.semconv import ERROR_TYPE, PENTAD_RUN_ID, PENTAD_TENANT
from pentad_chassis.spans import SpanBuffer
from pentad_chassis.tracer import RecordingSpan, Tracer, span_context

_W3C = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_KNOWN_FLAGS = TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID
_FLAGS = tuple(TraceFlags(bits) for bits in range(_KNOWN_FLAGS + 1))
_FAILED = Status(StatusCode.ERROR)
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
}
_ABOUT = {PENTAD_RUN_ID: "run_id", PENTAD_TENANT: "tenant"}

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Of a span whose id others can tell.

    It is known where traces are kept before it has ended, and even if its process is killed.
    """

    span_id: int
    follows: int = 0
    """A span of the same trace whose work this one takes up, and to which it is linked."""


_NO_LINEAGE = Lineage(0)


class StartsSpans(Protocol):
    """The part of a tracer that is used."""

    def start_span(
        self,
        name: str,
        context: otel.Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        *,
        span_id: int = 0,
    ) -> Span:
        """Begin a span; `span_id` is for one that others must be able to name."""
        ...


class Telemetry:
    """What one service says about itself."""

    def __init__(
        self,
        service: str,
        log: FilteringBoundLogger,
        tracer: StartsSpans,
        spans: SpanBuffer,
        export: Export | None = None,
    ) -> None:
        self.service = service
        self.metrics = Metrics()
        self.health = Health(service)
        self.log = log
        """Constant message, then fields; never prompts, results or secrets."""
        self.tracer = tracer
        self.spans = spans
        """Finished spans that nobody has recorded yet."""
        self._export = export

    def close(self) -> None:
        """Send the collector what it has not got; blocks for a few seconds at most."""
        if self._export is not None:
            self._export.close()

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: Literal["internal", "server", "client"] = "internal",
        attributes: Attributes | None = None,
        traceparent: str = "",
        lineage: Lineage = _NO_LINEAGE,
    ) -> Iterator[Span]:
        """Make a span current inside the block; an exception that leaves it marks it failed.

        `traceparent` continues a trace that began elsewhere, or earlier. Log entries made inside
        the block name the run and the tenant that the attributes name.
        """
        parent = extract(traceparent) if traceparent else None
        span = self.tracer.start_span(
            name, parent, _KINDS[kind], attributes, span_id=lineage.span_id
        )
        if lineage.follows:
            context = span.get_span_context()
            before = SpanContext(context.trace_id, lineage.follows, True, context.trace_flags)
            span.add_link(before)
        if lineage.span_id and isinstance(span, RecordingSpan):
            self.spans.begin(span)
        token = otel.attach(trace.set_span_in_context(span, parent))
        known = {_ABOUT[k]: str(v) for k, v in (attributes or {}).items() if k in _ABOUT}
        told = about.set({**about.get(), **known})
        try:
            yield span
        except BaseException as error:
            fail(span, str(getattr(error, "reason", type(error).__name__)))
            raise
        finally:
            span.end()
            try:
                about.reset(told)
            except ValueError:
                # A stream that its caller left is closed in a copy of its context, which ends
                # with that: there is nothing to go back to.
                pass
            else:
                otel.detach(token)


def fail(span: Span, reason: str) -> None:
    """Mark a span failed, without the message: it may hold what a user said."""
    span.set_status(_FAILED)
    span.set_attribute(ERROR_TYPE, reason)


def extract(traceparent: str) -> otel.Context:
    """Return a context whose current span is the remote one that `traceparent` names."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        # Of a later version, or no traceparent at all: rare enough to be read by the book.
        return _W3C.extract({"traceparent": traceparent}, otel.Context())
    trace_id, span_id = int(found[1], 16), int(found[2], 16)
    flags = _FLAGS[int(found[3], 16) & _KNOWN_FLAGS]
    if not (trace_id and span_id):
        return otel.Context()
    remote = span_context(trace_id, span_id, flags, remote=True)
    return trace.set_span_in_context(NonRecordingSpan(remote), otel.Context())


def current_traceparent() -> str:
    """Return the W3C `traceparent` of the current span, or nothing outside of one."""
    return traceparent(trace.get_current_span())


def traceparent(span: Span) -> str:
    """Return a span's W3C `traceparent`, or nothing for a span that is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def open_telemetry(
    service: str,
    log_level: str = "info",
    stream: TextIO | None = None,
    *,
    log_content: bool = False,
) -> Telemetry:
    """Return a service's telemetry, with sampling and export as the `OTEL_*` variables say."""
    log = open_log(service, LEVELS.get(log_level, 20), stream or sys.stderr, content=log_content)
    buffer = SpanBuffer(service)
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Telemetry(service, log, Tracer(None, buffer.add), buffer)
    resource = Resource.create({SERVICE_NAME: f"pentad-{service}"})
    # Of the SDK's provider only what it reads from the environment is needed.
    own = None if os.environ.get(OTEL_TRACES_SAMPLER, "").strip() else rate_limited()
    sampler = TracerProvider(own, resource, shutdown_on_exit=False).sampler
    export = open_export(resource)

    def ended(span: RecordingSpan) -> None:
        buffer.add(span)
        if export is not None:
            export.add(span)

    tracer = Tracer(sampler, buffer.add if export is None else ended)
    return Telemetry(service, log, tracer, buffer, export)


def configured_telemetry(service: str, config: Settings) -> Telemetry:
    """Return the telemetry of a service whose settings are known."""
    return open_telemetry(service, config.log_level, log_content=config.log_content)


def silent_telemetry(service: str) -> Telemetry:
    """Return telemetry that goes nowhere, for tests of one part alone."""
    buffer = SpanBuffer(service)
    log = open_log(service, SILENT, sys.stderr)
    return Telemetry(service, log, Tracer(None, buffer.add), buffer)
