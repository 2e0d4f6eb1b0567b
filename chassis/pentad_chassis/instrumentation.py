"""Spans of calls by opentelemetry-instrumentation-grpc, where a setting asks for it.

It is for those who need its attributes; docs/observability.md lists its faults. Where it makes the
spans of calls, hops and handlers make none of their own.
"""

import copy
from collections.abc import Sequence
from typing import Any

import grpc
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, SpanKind
from opentelemetry.util.types import Attributes

from pentad_chassis.config import Settings
from pentad_chassis.telemetry import Telemetry

_UNTRACED = ("/grpc.health.", "/grpc.reflection.")


def client_tracing(
    config: Settings, telemetry: Telemetry
) -> tuple[Telemetry, Sequence[grpc.aio.ClientInterceptor]]:
    """Return what a hop is to use, and the interceptors of its channel."""
    if config.tracer == "own":
        return telemetry, ()
    from opentelemetry.instrumentation.grpc import aio_client_interceptors  # noqa: PLC0415

    # Background work, such as a long poll, belongs to no trace and starts none.
    def is_traced(_: object) -> bool:
        return trace.get_current_span().get_span_context().is_valid

    made = aio_client_interceptors(_Provider(telemetry), is_traced)  # type: ignore[no-untyped-call]
    return _without_own_calls(telemetry), made


def server_tracing(
    config: Settings, telemetry: Telemetry, *, public: bool
) -> tuple[Telemetry, Sequence[grpc.aio.ServerInterceptor]]:
    """Return what handlers are to use, and the interceptors of their server."""
    if config.tracer == "own":
        return telemetry, ()
    from opentelemetry.instrumentation.grpc import aio_server_interceptor  # noqa: PLC0415

    def is_traced(details: grpc.HandlerCallDetails) -> bool:
        if str(details.method).startswith(_UNTRACED):
            return False
        return public or "traceparent" in dict(details.invocation_metadata or ())

    made = aio_server_interceptor(_Provider(telemetry), is_traced)  # type: ignore[no-untyped-call]
    return _without_own_calls(telemetry), [made]


def _without_own_calls(telemetry: Telemetry) -> Telemetry:
    other = copy.copy(telemetry)
    other.tracer = _Standing()
    return other


class _Standing:
    """Makes no spans of calls: a handler works in the span that stands around it already."""

    def start_span(
        self,
        name: str,
        context: otel.Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: object = None,
        *,
        span_id: int = 0,
    ) -> Span:
        if kind is SpanKind.CLIENT:
            return INVALID_SPAN  # the interceptor sends the context of its own
        return NonRecordingSpan(trace.get_current_span().get_span_context())


class _Provider(trace.TracerProvider):
    """Gives the instrumentation the tracer that all others use."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._tracer = telemetry.tracer

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Any:
        return self._tracer
