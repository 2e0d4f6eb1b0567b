"""An OpenTelemetry collector for tests: a real gRPC server that keeps what it is sent."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span


class Collector(pb_grpc.TraceServiceServicer):
    """Keeps all spans, under the resources that sent them."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.resources: list[ResourceSpans] = []
        self._lock = threading.Lock()

    def Export(
        self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> pb.ExportTraceServiceResponse:
        with self._lock:
            self.resources += request.resource_spans
        return pb.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        """Every span, in the order of its arrival."""
        return [span for r in self.resources for scope in r.scope_spans for span in scope.spans]

    @property
    def services(self) -> set[str]:
        """`service.name` of all that sent something."""
        return {
            attribute.value.string_value
            for each in self.resources
            for attribute in each.resource.attributes
            if attribute.key == "service.name"
        }


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Run a collector inside the block."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()
