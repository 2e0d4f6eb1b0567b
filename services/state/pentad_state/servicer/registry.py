"""Replicas that are there, on the wire."""

from pentad.state.v1 import registry_service_pb2 as pb
from pentad.state.v1 import registry_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class RegistryServicer(pb_grpc.RegistryServiceServicer):
    """Replicas that are there."""

    def __init__(self, core: StateCore) -> None:
        self._registry = core.registry

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        await self._registry.register(request.service, request.instance, request.ttl)
        return pb.RegisterResponse()

    async def Deregister(
        self, request: pb.DeregisterRequest, context: Context
    ) -> pb.DeregisterResponse:
        await self._registry.deregister(request.service, request.instance_id)
        return pb.DeregisterResponse()

    async def ListInstances(
        self, request: pb.ListInstancesRequest, context: Context
    ) -> pb.ListInstancesResponse:
        instances = await self._registry.list_instances(request.service)
        return pb.ListInstancesResponse(instances=instances)
