"""Translation between the wire and the schedules' core; nothing else."""

from pentad.orchestrator.v1 import schedule_service_pb2 as pb
from pentad.orchestrator.v1.schedule_service_pb2_grpc import ScheduleServiceServicer
from pentad_chassis.server import Context
from pentad_orchestrator.schedules.backfills import Range
from pentad_orchestrator.schedules.core import ScheduleCore


class ScheduleServicer(ScheduleServiceServicer):
    """Serves `pentad.orchestrator.v1.ScheduleService`."""

    def __init__(self, core: ScheduleCore) -> None:
        self._core = core

    async def CreateSchedule(
        self, request: pb.CreateScheduleRequest, context: Context
    ) -> pb.CreateScheduleResponse:
        schedule = await self._core.create(request.tenant, request.schedule, request.request_id)
        return pb.CreateScheduleResponse(schedule=schedule)

    async def UpdateSchedule(
        self, request: pb.UpdateScheduleRequest, context: Context
    ) -> pb.UpdateScheduleResponse:
        schedule = await self._core.update(
            request.tenant, request.schedule, request.expected_generation
        )
        return pb.UpdateScheduleResponse(schedule=schedule)

    async def GetSchedule(
        self, request: pb.GetScheduleRequest, context: Context
    ) -> pb.GetScheduleResponse:
        return pb.GetScheduleResponse(schedule=await self._core.get(request.tenant, request.name))

    async def ListSchedules(
        self, request: pb.ListSchedulesRequest, context: Context
    ) -> pb.ListSchedulesResponse:
        page = await self._core.list_page(request.tenant, request.page_size, request.page_token)
        return pb.ListSchedulesResponse(
            schedules=page.schedules, next_page_token=page.next_page_token
        )

    async def DeleteSchedule(
        self, request: pb.DeleteScheduleRequest, context: Context
    ) -> pb.DeleteScheduleResponse:
        await self._core.delete(request.tenant, request.name)
        return pb.DeleteScheduleResponse()

    async def PauseSchedule(
        self, request: pb.PauseScheduleRequest, context: Context
    ) -> pb.PauseScheduleResponse:
        schedule = await self._core.pause(request.tenant, request.name)
        return pb.PauseScheduleResponse(schedule=schedule)

    async def ResumeSchedule(
        self, request: pb.ResumeScheduleRequest, context: Context
    ) -> pb.ResumeScheduleResponse:
        schedule = await self._core.resume(request.tenant, request.name)
        return pb.ResumeScheduleResponse(schedule=schedule)

    async def TriggerSchedule(
        self, request: pb.TriggerScheduleRequest, context: Context
    ) -> pb.TriggerScheduleResponse:
        run_id = await self._core.trigger(request.tenant, request.name, request.request_id)
        return pb.TriggerScheduleResponse(run_id=run_id)

    async def BackfillSchedule(
        self, request: pb.BackfillScheduleRequest, context: Context
    ) -> pb.BackfillScheduleResponse:
        asked = Range(request.from_time.ToMilliseconds(), request.to_time.ToMilliseconds())
        times = await self._core.backfill(request.tenant, request.name, asked, request.request_id)
        return pb.BackfillScheduleResponse(times=times)

    async def ListScheduleFirings(
        self, request: pb.ListScheduleFiringsRequest, context: Context
    ) -> pb.ListScheduleFiringsResponse:
        firings = await self._core.firings(request.tenant, request.name)
        return pb.ListScheduleFiringsResponse(firings=firings)
