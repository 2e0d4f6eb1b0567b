"""The catalogue, on the wire."""

from pentad.gateway.v1 import tool_service_pb2 as pb
from pentad.gateway.v1 import tool_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_gateway.core import ToolCore


class ToolServicer(pb_grpc.ToolServiceServicer):
    """ToolService over its core."""

    def __init__(self, core: ToolCore) -> None:
        self._core = core

    async def ListTools(
        self, request: pb.ListToolsRequest, context: Context
    ) -> pb.ListToolsResponse:
        return pb.ListToolsResponse(tools=await self._core.list_tools())

    async def GetTool(self, request: pb.GetToolRequest, context: Context) -> pb.GetToolResponse:
        return pb.GetToolResponse(tool=await self._core.get_tool(request))
