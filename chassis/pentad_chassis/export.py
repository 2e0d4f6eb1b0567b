"""Spans on their way to an OpenTelemetry collector, where the environment names one."""

import os
import threading
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits

from pentad_chassis.config import ConfigInvalid
from pentad_chassis.tracer import RecordingSpan, readable

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

_CLOSE_S = 5.0
"""Time for what is left when the service stops; a collector that is away must not hold it up."""


class Export:
    """Sends ended spans in batches, from a thread of its own; a slow collector loses spans."""

    def __init__(
        self, exporter: "SpanExporter", processor: "BatchSpanProcessor", resource: Resource
    ) -> None:
        self._exporter = exporter
        self._processor = processor
        self._resource = resource
        self._limits = SpanLimits()

    def add(self, span: RecordingSpan) -> None:
        """Have a span sent, soon."""
        self._processor.on_end(readable(span, self._resource, self._limits))

    def close(self) -> None:
        """Send what is left; what cannot be sent within a few seconds is lost."""
        limit = threading.Timer(_CLOSE_S, self._exporter.shutdown)
        limit.daemon = True
        limit.start()
        self._processor.shutdown()  # type: ignore[no-untyped-call]
        limit.cancel()


def open_export(resource: Resource) -> Export | None:
    """Return the export that the `OTEL_*` variables ask for, if any."""
    if not _variable("ENDPOINT") or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    protocol = _variable("PROTOCOL") or "grpc"
    if protocol != "grpc":
        raise ConfigInvalid((f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not spoken; use grpc",))
    # Imported where it is used: it doubles the time a process takes to start.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    exporter = OTLPSpanExporter()
    return Export(exporter, BatchSpanProcessor(exporter), resource)


def _variable(name: str) -> str:
    """Return an exporter's setting; that of traces goes before that of all signals."""
    found = (os.environ.get(f"OTEL_EXPORTER_OTLP_{s}{name}", "") for s in ("TRACES_", ""))
    return next(filter(None, found), "")
