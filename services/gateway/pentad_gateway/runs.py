"""Runs: started through the orchestrator, followed through the state service."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from structlog.typing import FilteringBoundLogger

from pentad.gateway.v1 import run_service_pb2 as pb
from pentad.orchestrator.v1.orchestrator_service_pb2 import (
    CancelRunRequest,
    CreateRunRequest,
    ForkRunRequest,
)
from pentad.state.v1.event_pb2 import Event, RunResumed
from pentad.state.v1.run_pb2 import Run
from pentad.state.v1.run_service_pb2 import (
    GetRunRequest,
    ListRunsRequest,
    ListRunsResponse,
    RequestPauseRequest,
    ResumeRunRequest,
    TailRunRequest,
    WaitRunRequest,
)
from pentad_chassis.calls import remaining_s, stop_signal
from pentad_chassis.clock import Clock, random_id
from pentad_chassis.errors import FieldViolation, InvalidArgument
from pentad_gateway import validation
from pentad_gateway.errors import require
from pentad_gateway.leaving import Abandoned
from pentad_gateway.tail import follow
from pentad_gateway.workflows import completed

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
        log: FilteringBoundLogger,
    ) -> None:
        self._state = state
        self._orchestrator = orchestrator
        self._clock = clock
        self._abandoned = Abandoned(orchestrator, log)

    async def create_run(
        self, tenant: str, request: pb.CreateRunRequest | pb.ExecuteRunRequest
    ) -> Run:
        """Have a run accepted."""
        response = await self._orchestrator.CreateRun(await self._accepted(tenant, request))
        return response.run

    async def execute_run(
        self, tenant: str, request: pb.ExecuteRunRequest
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Have a run accepted and yield its events from the first to the last, several at once.

        A caller that leaves before ends the run if it asked for that; a server that stops does not.
        """
        wish = await self._accepted(tenant, request)
        is_stopping = stop_signal()
        try:
            run = (await self._orchestrator.CreateRun(wish)).run
            place = TailRunRequest(tenant=tenant, run_id=run.run_id)
            async with aclosing(follow(self._state, place, self._clock)) as batches:
                async for events in batches:
                    yield events
        except (asyncio.CancelledError, GeneratorExit):
            if request.cancel_on_disconnect and not is_stopping():
                await self._abandoned.end(wish)
            raise

    async def tail_run(
        self, tenant: str, request: pb.TailRunRequest
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield a run's events behind a cursor, several at once, to the last."""
        require(validation.tail_run(request))
        place = TailRunRequest(tenant=tenant, run_id=request.run_id, after=request.after)
        async with aclosing(follow(self._state, place, self._clock)) as batches:
            async for events in batches:
                yield events

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

    async def fork_run(self, tenant: str, request: pb.ForkRunRequest) -> Run:
        """Have a run accepted that begins with another one's events."""
        require(validation.fork_run(request))
        response = await self._orchestrator.ForkRun(
            ForkRunRequest(
                tenant=tenant,
                run_id=request.run_id,
                at_seq=request.at_seq,
                request_id=request.request_id or random_id(),
                session_id=request.session_id,
            )
        )
        return response.run

    async def cancel_run(self, tenant: str, request: pb.CancelRunRequest) -> Run:
        """Have it recorded that a run is to end."""
        require(validation.cancel_run(request))
        response = await self._orchestrator.CancelRun(
            CancelRunRequest(tenant=tenant, run_id=request.run_id, reason=request.reason)
        )
        return response.run

    async def pause_run(self, tenant: str, request: pb.PauseRunRequest) -> Run:
        """Have it recorded that a run is to rest."""
        require(validation.cancel_run(request))
        response = await self._state.RequestPause(
            RequestPauseRequest(tenant=tenant, run_id=request.run_id, reason=request.reason)
        )
        return response.run

    async def resume_run(self, tenant: str, request: pb.ResumeRunRequest) -> Run:
        """Let a run go on, once it is said what became of every call that it asks about."""
        require(validation.resume_run(request))
        asked = ResumeRunRequest(
            tenant=tenant,
            run_id=request.run_id,
            resume_id=request.request_id or random_id(),
            resumed=RunResumed(settlements=request.settlements, reason=request.reason),
        )
        try:
            response = await self._state.ResumeRun(asked)
        except InvalidArgument as refused:
            # Only the state service knows what the run asks; its answer is about our fields.
            require(
                [
                    FieldViolation(violation.field.removeprefix("resumed."), violation.description)
                    for violation in refused.violations
                ]
            )
            raise
        return response.run

    async def _accepted(
        self, tenant: str, request: pb.CreateRunRequest | pb.ExecuteRunRequest
    ) -> CreateRunRequest:
        """Return what the orchestrator is asked, or raise RequestInvalid."""
        wrong = await self._wrong(tenant, request)
        require(wrong)
        return CreateRunRequest(
            tenant=tenant, spec=request.spec, request_id=request.request_id or random_id()
        )

    async def _wrong(
        self, tenant: str, request: pb.CreateRunRequest | pb.ExecuteRunRequest
    ) -> list[FieldViolation]:
        """Return all that is wrong with a wish; of a graph also what it names, all at once."""
        now_s = self._clock.now()
        if not request.spec.HasField("graph"):
            return validation.create_run(request, now_s)
        # Compiling a thousand expressions takes a second.
        wrong = await asyncio.to_thread(validation.create_run, request, now_s)
        if not wrong:
            return wrong  # the orchestrator says itself what is missing
        graph = request.spec.graph
        return await completed(self._orchestrator, tenant, graph, wrong, "spec.graph")
