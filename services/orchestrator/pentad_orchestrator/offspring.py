"""Runs that start others: each created once, with what its parent pinned."""

from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Failure
from pentad.state.v1.run_service_pb2 import CreateRunRequest, CreateRunResponse
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import failpoint
from pentad_chassis.telemetry import current_traceparent
from pentad_orchestrator import children
from pentad_orchestrator.commands import StartChild
from pentad_orchestrator.creation import Creation
from pentad_orchestrator.heritage import heritage_of
from pentad_orchestrator.patience import Patience
from pentad_orchestrator.run import Run

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub


class Offspring:
    """Creates children. They go into the schedule: whoever has room takes them."""

    def __init__(self, runs: "RunServiceAsyncStub", creation: Creation, patience: Patience) -> None:
        self._runs = runs
        self._creation = creation
        self._patience = patience

    async def start(self, run: Run, command: StartChild) -> Event:
        """Return `child_started`, or `child_ended` for one that cannot be created.

        A repeat finds the run that was created first, so that it may be asked for again after any
        crash; what was left of the parent's time by then does not tell it from others.
        """
        request_id = children.request_id(run.run_id, command.key, command.index)

        async def create() -> CreateRunResponse:
            await failpoint("orchestrator.child.before")
            response = await self._runs.CreateRun(request)
            await failpoint("orchestrator.child.after")
            return response

        try:
            created = await self._creation.pin(
                run.created.tenant,
                command.spec,
                request_id,
                current_traceparent() or run.created.traceparent,
                heritage_of(run, command),
            )
            request = CreateRunRequest(
                request_id=request_id, fingerprint=request_id.encode(), created=created
            )
            response = await self._patience.until_answered(create, what="CreateRun")
        except ServiceError as error:
            failure = Failure(reason=error.reason, message=error.message, metadata=error.metadata)
            return children.unstartable(command.key, command.index, failure)
        return children.start(command.key, command.index, response.run.run_id)
