"""Traces, on the wire."""

from pentad.gateway.v1 import trace_service_pb2 as pb
from pentad.gateway.v1 import trace_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context, caller
from pentad_gateway.core import TraceCore


class TraceServicer(pb_grpc.TraceServiceServicer):
    """TraceService over its core."""

    def __init__(self, core: TraceCore) -> None:
        self._core = core

    async def GetRunTrace(
        self, request: pb.GetRunTraceRequest, context: Context
    ) -> pb.GetRunTraceResponse:
        trace_id, spans = await self._core.get_run_trace(caller().tenant, request)
        return pb.GetRunTraceResponse(trace_id=trace_id, spans=spans)
