"""Logs and traces as values: every service holds its own, so that five can share a process."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TextIO

import structlog
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracerProvider, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import EventDict, FilteringBoundLogger

from pentad_chassis.metrics import Metrics
from pentad_chassis.semconv import ERROR_TYPE
from pentad_chassis.spans import SpanBuffer

_W3C = TraceContextTextMapPropagator()
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
}
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Attributes = Mapping[str, str | int | float | bool]


class Telemetry:
    """What one service says about itself."""

    def __init__(
        self, service: str, log: FilteringBoundLogger, tracer: Tracer, spans: SpanBuffer
    ) -> None:
        self.service = service
        self.metrics = Metrics()
        self.log = log
        """Constant message, then fields; never prompts, results or secrets."""
        self.tracer = tracer
        self.spans = spans
        """Finished spans that nobody has recorded yet."""

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: Literal["internal", "server", "client"] = "internal",
        attributes: Attributes | None = None,
        traceparent: str = "",
    ) -> Iterator[Span]:
        """Make a span current inside the block; an exception that leaves it marks it failed.

        `traceparent` continues a trace that began elsewhere, or earlier.
        """
        parent = extract(traceparent) if traceparent else None
        span = self.tracer.start_span(name, parent, _KINDS[kind], attributes)
        token = otel.attach(trace.set_span_in_context(span, parent))
        try:
            yield span
        except BaseException as error:
            fail(span, str(getattr(error, "reason", type(error).__name__)))
            raise
        finally:
            otel.detach(token)
            span.end()


def fail(span: Span, reason: str) -> None:
    """Mark a span failed, without the message: it may hold what a user said."""
    span.set_status(Status(StatusCode.ERROR))
    span.set_attribute(ERROR_TYPE, reason)


def extract(traceparent: str) -> otel.Context:
    """Return a context whose current span is the remote one that `traceparent` names."""
    return _W3C.extract({"traceparent": traceparent}, otel.Context())


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
    service: str, log_level: str = "info", stream: TextIO | None = None
) -> Telemetry:
    """Return a service's telemetry, with sampling and export as the `OTEL_*` variables say."""
    spans = SpanBuffer(service)
    resource = Resource.create({SERVICE_NAME: f"pentad-{service}"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(spans)
    if any(os.environ.get(f"OTEL_EXPORTER_OTLP_{s}ENDPOINT") for s in ("", "TRACES_")):
        # Imported where it is used: it doubles the time a process takes to start.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    log = _logger(service, _LEVELS.get(log_level, 20), stream or sys.stderr)
    return Telemetry(service, log, provider.get_tracer("pentad"), spans)


def silent_telemetry(service: str) -> Telemetry:
    """Return telemetry that goes nowhere, for tests of one part alone."""
    log = _logger(service, sys.maxsize, sys.stderr)
    return Telemetry(service, log, NoOpTracerProvider().get_tracer("pentad"), SpanBuffer(service))


def _logger(service: str, level: int, stream: TextIO) -> FilteringBoundLogger:
    def add_trace(_: object, __: str, event: EventDict) -> EventDict:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            event["trace_id"] = f"{span.trace_id:032x}"
        return event

    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_trace,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(min(level, 50)),
        cache_logger_on_first_use=True,
    ).bind(service=service)
    return logger
