"""ToolsService over gRPC: translation only."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from pentad.state.v1 import tool_pb2
from pentad.tools.v1 import tools_service_pb2 as pb
from pentad.tools.v1 import tools_service_pb2_grpc as pb_grpc
from pentad.tools.v1 import webhook_service_pb2 as webhooks_pb
from pentad.tools.v1 import webhook_service_pb2_grpc as webhooks_pb_grpc
from pentad_chassis.server import Context
from pentad_tools.core import ToolsCore
from pentad_tools.tool import AnyTool
from pentad_tools.webhooks.posting import Poster


class ToolsServicer(pb_grpc.ToolsServiceServicer):
    """The RPCs of ToolsService."""

    def __init__(self, core: ToolsCore) -> None:
        self._core = core

    async def ListTools(
        self, request: pb.ListToolsRequest, context: Context
    ) -> pb.ListToolsResponse:
        """Return the catalogue by name."""
        del request, context
        return pb.ListToolsResponse(tools=map(to_proto, self._core.list_tools()))

    async def GetTool(self, request: pb.GetToolRequest, context: Context) -> pb.GetToolResponse:
        """Return one tool."""
        del context
        return pb.GetToolResponse(tool=to_proto(self._core.get_tool(request.name)))

    async def InvokeTool(
        self, request: pb.InvokeToolRequest, context: Context
    ) -> pb.InvokeToolResponse:
        """Run one call and record it."""
        del context
        return await self._core.invoke_tool(request)


class WebhookServicer(webhooks_pb_grpc.WebhookServiceServicer):
    """The RPCs of WebhookService."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    async def CheckWebhook(
        self, request: webhooks_pb.CheckWebhookRequest, context: Context
    ) -> webhooks_pb.CheckWebhookResponse:
        """Refuse a URL to which no notice would ever be sent."""
        del context
        await self._poster.check(request.url)
        return webhooks_pb.CheckWebhookResponse()


def to_proto(tool: AnyTool) -> tool_pb2.Tool:
    """Return the tool as models and people see it."""
    timeout = Duration()
    timeout.FromMilliseconds(int(tool.timeout_s * 1000))
    schema = Struct()
    schema.update(tool.parameters.schema())
    return tool_pb2.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=schema,
        effect=tool.effect.value,
        timeout=timeout,
        approval=tool.approval,
    )
