"""Schedules, which the orchestrator keeps; the same rules as in `core`."""

import asyncio
from typing import TYPE_CHECKING

from pentad.gateway.v1 import schedule_service_pb2 as pb
from pentad.orchestrator.v1 import schedule_service_pb2 as orchestrator_pb
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_chassis.clock import Clock, random_id
from pentad_gateway import validation
from pentad_gateway.errors import require

if TYPE_CHECKING:
    from pentad.orchestrator.v1.schedule_service_pb2_grpc import ScheduleServiceAsyncStub


class ScheduleCore:
    """Schedules of the caller's tenant."""

    def __init__(self, orchestrator: "ScheduleServiceAsyncStub", clock: Clock) -> None:
        self._orchestrator = orchestrator
        self._clock = clock

    async def create_schedule(self, tenant: str, request: pb.CreateScheduleRequest) -> Schedule:
        """Have a schedule recorded."""
        require(await asyncio.to_thread(validation.create_schedule, request))
        response = await self._orchestrator.CreateSchedule(
            orchestrator_pb.CreateScheduleRequest(
                tenant=tenant,
                schedule=request.schedule,
                request_id=request.request_id or random_id(),
            )
        )
        return response.schedule

    async def update_schedule(self, tenant: str, request: pb.UpdateScheduleRequest) -> Schedule:
        """Have another definition put in the place of a schedule's."""
        require(await asyncio.to_thread(validation.update_schedule, request))
        response = await self._orchestrator.UpdateSchedule(
            orchestrator_pb.UpdateScheduleRequest(
                tenant=tenant,
                schedule=request.schedule,
                expected_generation=request.expected_generation,
            )
        )
        return response.schedule

    async def get_schedule(self, tenant: str, request: pb.GetScheduleRequest) -> Schedule:
        """Return a schedule."""
        require(validation.name_schedule(request))
        response = await self._orchestrator.GetSchedule(
            orchestrator_pb.GetScheduleRequest(tenant=tenant, name=request.name)
        )
        return response.schedule

    async def list_schedules(
        self, tenant: str, request: pb.ListSchedulesRequest
    ) -> orchestrator_pb.ListSchedulesResponse:
        """Return a page of schedules."""
        require(validation.list_schedules(request))
        return await self._orchestrator.ListSchedules(
            orchestrator_pb.ListSchedulesRequest(
                tenant=tenant, page_size=request.page_size, page_token=request.page_token
            )
        )

    async def delete_schedule(self, tenant: str, request: pb.DeleteScheduleRequest) -> None:
        """Have a schedule forgotten."""
        require(validation.name_schedule(request))
        await self._orchestrator.DeleteSchedule(
            orchestrator_pb.DeleteScheduleRequest(tenant=tenant, name=request.name)
        )

    async def pause_schedule(self, tenant: str, request: pb.PauseScheduleRequest) -> Schedule:
        """Have a schedule's times pass without runs."""
        require(validation.name_schedule(request))
        response = await self._orchestrator.PauseSchedule(
            orchestrator_pb.PauseScheduleRequest(tenant=tenant, name=request.name)
        )
        return response.schedule

    async def resume_schedule(self, tenant: str, request: pb.ResumeScheduleRequest) -> Schedule:
        """Have a schedule's times start runs again."""
        require(validation.name_schedule(request))
        response = await self._orchestrator.ResumeSchedule(
            orchestrator_pb.ResumeScheduleRequest(tenant=tenant, name=request.name)
        )
        return response.schedule

    async def trigger_schedule(self, tenant: str, request: pb.TriggerScheduleRequest) -> str:
        """Have a run started now; return its id."""
        require(validation.trigger_schedule(request))
        response = await self._orchestrator.TriggerSchedule(
            orchestrator_pb.TriggerScheduleRequest(
                tenant=tenant, name=request.name, request_id=request.request_id or random_id()
            )
        )
        return response.run_id

    async def backfill_schedule(self, tenant: str, request: pb.BackfillScheduleRequest) -> int:
        """Have runs started for times of the past; return how many."""
        require(validation.backfill_schedule(request, self._clock.now()))
        response = await self._orchestrator.BackfillSchedule(
            orchestrator_pb.BackfillScheduleRequest(
                tenant=tenant,
                name=request.name,
                from_time=request.from_time,
                to_time=request.to_time,
                request_id=request.request_id or random_id(),
            )
        )
        return response.times

    async def list_schedule_firings(
        self, tenant: str, request: pb.ListScheduleFiringsRequest
    ) -> list[Firing]:
        """Return what became of a schedule's times, latest first."""
        require(validation.name_schedule(request))
        response = await self._orchestrator.ListScheduleFirings(
            orchestrator_pb.ListScheduleFiringsRequest(tenant=tenant, name=request.name)
        )
        return list(response.firings)
