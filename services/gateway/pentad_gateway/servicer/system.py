"""How the suite is, on the wire."""

from pentad.gateway.v1 import system_service_pb2 as pb
from pentad.gateway.v1 import system_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_gateway.system import SystemCore


class SystemServicer(pb_grpc.SystemServiceServicer):
    """SystemService over its core."""

    def __init__(self, core: SystemCore) -> None:
        self._core = core

    async def GetSystemStatus(
        self, request: pb.GetSystemStatusRequest, context: Context
    ) -> pb.GetSystemStatusResponse:
        return await self._core.get_system_status()
