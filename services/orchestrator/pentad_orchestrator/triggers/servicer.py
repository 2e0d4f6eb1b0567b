"""Translation between the wire and the triggers' core; nothing else."""

from pentad.orchestrator.v1 import trigger_service_pb2 as pb
from pentad.orchestrator.v1.trigger_service_pb2_grpc import TriggerServiceServicer
from pentad_chassis.server import Context
from pentad_orchestrator.triggers.core import TriggerCore


class TriggerServicer(TriggerServiceServicer):
    """Serves `pentad.orchestrator.v1.TriggerService`."""

    def __init__(self, core: TriggerCore) -> None:
        self._core = core

    async def CreateTrigger(
        self, request: pb.CreateTriggerRequest, context: Context
    ) -> pb.CreateTriggerResponse:
        trigger = await self._core.create(request.tenant, request.trigger, request.request_id)
        return pb.CreateTriggerResponse(trigger=trigger)

    async def GetTrigger(
        self, request: pb.GetTriggerRequest, context: Context
    ) -> pb.GetTriggerResponse:
        return pb.GetTriggerResponse(trigger=await self._core.get(request.tenant, request.name))

    async def ListTriggers(
        self, request: pb.ListTriggersRequest, context: Context
    ) -> pb.ListTriggersResponse:
        triggers, token = await self._core.list_page(
            request.tenant, request.page_size, request.page_token
        )
        return pb.ListTriggersResponse(triggers=triggers, next_page_token=token)

    async def DeleteTrigger(
        self, request: pb.DeleteTriggerRequest, context: Context
    ) -> pb.DeleteTriggerResponse:
        await self._core.delete(request.tenant, request.name)
        return pb.DeleteTriggerResponse()
