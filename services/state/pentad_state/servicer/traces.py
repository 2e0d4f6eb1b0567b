"""Spans of recent traces, on the wire."""

from pentad.state.v1 import trace_service_pb2 as pb
from pentad.state.v1 import trace_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class TraceServicer(pb_grpc.TraceServiceServicer):
    """Spans of recent traces."""

    def __init__(self, core: StateCore) -> None:
        self._traces = core.traces

    async def RecordSpans(
        self, request: pb.RecordSpansRequest, context: Context
    ) -> pb.RecordSpansResponse:
        await self._traces.record(request.spans)
        return pb.RecordSpansResponse()

    async def GetTrace(self, request: pb.GetTraceRequest, context: Context) -> pb.GetTraceResponse:
        spans = await self._traces.get(request.trace_id)
        return pb.GetTraceResponse(spans=spans)
