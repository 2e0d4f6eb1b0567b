"""The public schedule service: translation only."""

from pentad.gateway.v1 import schedule_service_pb2 as pb
from pentad.gateway.v1.schedule_service_pb2_grpc import ScheduleServiceServicer
from pentad_chassis.server import Context, caller
from pentad_gateway.schedules import ScheduleCore


class ScheduleServicer(ScheduleServiceServicer):
    """ScheduleService over its core."""

    def __init__(self, core: ScheduleCore) -> None:
        self._core = core

    async def CreateSchedule(
        self, request: pb.CreateScheduleRequest, context: Context
    ) -> pb.CreateScheduleResponse:
        schedule = await self._core.create_schedule(caller().tenant, request)
        return pb.CreateScheduleResponse(schedule=schedule)

    async def UpdateSchedule(
        self, request: pb.UpdateScheduleRequest, context: Context
    ) -> pb.UpdateScheduleResponse:
        schedule = await self._core.update_schedule(caller().tenant, request)
        return pb.UpdateScheduleResponse(schedule=schedule)

    async def GetSchedule(
        self, request: pb.GetScheduleRequest, context: Context
    ) -> pb.GetScheduleResponse:
        schedule = await self._core.get_schedule(caller().tenant, request)
        return pb.GetScheduleResponse(schedule=schedule)

    async def ListSchedules(
        self, request: pb.ListSchedulesRequest, context: Context
    ) -> pb.ListSchedulesResponse:
        page = await self._core.list_schedules(caller().tenant, request)
        return pb.ListSchedulesResponse(
            schedules=page.schedules, next_page_token=page.next_page_token
        )

    async def DeleteSchedule(
        self, request: pb.DeleteScheduleRequest, context: Context
    ) -> pb.DeleteScheduleResponse:
        await self._core.delete_schedule(caller().tenant, request)
        return pb.DeleteScheduleResponse()

    async def PauseSchedule(
        self, request: pb.PauseScheduleRequest, context: Context
    ) -> pb.PauseScheduleResponse:
        schedule = await self._core.pause_schedule(caller().tenant, request)
        return pb.PauseScheduleResponse(schedule=schedule)

    async def ResumeSchedule(
        self, request: pb.ResumeScheduleRequest, context: Context
    ) -> pb.ResumeScheduleResponse:
        schedule = await self._core.resume_schedule(caller().tenant, request)
        return pb.ResumeScheduleResponse(schedule=schedule)

    async def TriggerSchedule(
        self, request: pb.TriggerScheduleRequest, context: Context
    ) -> pb.TriggerScheduleResponse:
        run_id = await self._core.trigger_schedule(caller().tenant, request)
        return pb.TriggerScheduleResponse(run_id=run_id)

    async def BackfillSchedule(
        self, request: pb.BackfillScheduleRequest, context: Context
    ) -> pb.BackfillScheduleResponse:
        times = await self._core.backfill_schedule(caller().tenant, request)
        return pb.BackfillScheduleResponse(times=times)

    async def ListScheduleFirings(
        self, request: pb.ListScheduleFiringsRequest, context: Context
    ) -> pb.ListScheduleFiringsResponse:
        firings = await self._core.list_schedule_firings(caller().tenant, request)
        return pb.ListScheduleFiringsResponse(firings=firings)
