"""Runs: started through the orchestrator, followed through the state service."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from pentad.gateway.v1 import run_service_pb2 as pb
from pentad.orchestrator.v1.orchestrator_service_pb2 import CancelRunRequest, CreateRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run
from pentad.state.v1.run_service_pb2 import (
    GetRunRequest,
    ListRunsRequest,
    ListRunsResponse,
    TailRunRequest,
    WaitRunRequest,
)
from pentad_chassis.calls import remaining_s
from pentad_chassis.clock import Clock, random_id
from pentad_gateway import validation
from pentad_gateway.errors import require
from pentad_gateway.tail import follow

if TYPE_CHECKING:
    from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

WAIT_S = 30.0
"""How long WaitRun waits when nobody says."""

ANSWER_S = 0.5
"""Left of a caller's deadline for the answer, so that waiting ends with one."""


class RunCore:
    """Runs of the caller's tenant; the same rules as in `core`."""

    def __init__(
        self,
        state: "RunServiceAsyncStub",
        orchestrator: "OrchestratorServiceAsyncStub",
        clock: Clock,
    ) -> None:
        self._state = state
        self._orchestrator = orchestrator
        self._clock = clock

    async def create_run(
        self, tenant: str, request: pb.CreateRunRequest | pb.ExecuteRunRequest
    ) -> Run:
        """Have a run accepted."""
        require(validation.create_run(request))
        response = await self._orchestrator.CreateRun(
            CreateRunRequest(
                tenant=tenant,
                spec=request.spec,
                request_id=request.request_id or random_id(),
            )
        )
        return response.run

    async def execute_run(
        self, tenant: str, request: pb.ExecuteRunRequest
    ) -> AsyncGenerator[Event, None]:
        """Have a run accepted and yield its events from the first to the last."""
        run = await self.create_run(tenant, request)
        place = TailRunRequest(tenant=tenant, run_id=run.run_id)
        async with aclosing(follow(self._state, place, self._clock)) as events:
            async for event in events:
                yield event

    async def tail_run(
        self, tenant: str, request: pb.TailRunRequest
    ) -> AsyncGenerator[Event, None]:
        """Yield a run's events behind a cursor, to the last."""
        require(validation.tail_run(request))
        place = TailRunRequest(tenant=tenant, run_id=request.run_id, after=request.after)
        async with aclosing(follow(self._state, place, self._clock)) as events:
            async for event in events:
                yield event

    async def wait_run(self, tenant: str, request: pb.WaitRunRequest) -> Run:
        """Return a run once it has ended, or as it stands when the time is over."""
        require(validation.wait_run(request))
        wait_s = (request.timeout.ToNanoseconds() / 1e9) or WAIT_S
        left_s = remaining_s()
        if left_s is not None:
            wait_s = max(0.0, min(wait_s, left_s - ANSWER_S))
        timeout = Duration()
        timeout.FromNanoseconds(int(wait_s * 1e9))
        response = await self._state.WaitRun(
            WaitRunRequest(tenant=tenant, run_id=request.run_id, timeout=timeout),
            timeout=wait_s + 10 * ANSWER_S,
        )
        return response.run

    async def get_run(self, tenant: str, request: pb.GetRunRequest) -> Run:
        """Return a run as it stands."""
        require(validation.get_run(request))
        response = await self._state.GetRun(GetRunRequest(tenant=tenant, run_id=request.run_id))
        return response.run

    async def list_runs(self, tenant: str, request: pb.ListRunsRequest) -> ListRunsResponse:
        """Return a page of runs."""
        require(validation.list_runs(request))
        return await self._state.ListRuns(
            ListRunsRequest(
                tenant=tenant,
                state=request.state,
                session_id=request.session_id,
                page_size=request.page_size,
                page_token=request.page_token,
            )
        )

    async def cancel_run(self, tenant: str, request: pb.CancelRunRequest) -> Run:
        """Have it recorded that a run is to end."""
        require(validation.cancel_run(request))
        response = await self._orchestrator.CancelRun(
            CancelRunRequest(tenant=tenant, run_id=request.run_id, reason=request.reason)
        )
        return response.run
