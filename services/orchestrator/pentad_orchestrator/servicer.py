"""Translation between the wire and the core; nothing else."""

from pentad.orchestrator.v1.orchestrator_service_pb2 import (
    CancelRunRequest,
    CancelRunResponse,
    CheckWorkflowRequest,
    CheckWorkflowResponse,
    CreateRunRequest,
    CreateRunResponse,
    ForkRunRequest,
    ForkRunResponse,
    MissingName,
)
from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceServicer
from pentad_chassis.server import Context
from pentad_orchestrator.core import OrchestratorCore
from pentad_orchestrator.forks import Forks


class OrchestratorServicer(OrchestratorServiceServicer):
    """Serves `pentad.orchestrator.v1.OrchestratorService`."""

    def __init__(self, core: OrchestratorCore, forks: Forks) -> None:
        self._core = core
        self._forks = forks

    async def CreateRun(self, request: CreateRunRequest, context: Context) -> CreateRunResponse:
        """Accept a run."""
        run = await self._core.create_run(request.tenant, request.spec, request.request_id)
        return CreateRunResponse(run=run)

    async def CheckWorkflow(
        self, request: CheckWorkflowRequest, context: Context
    ) -> CheckWorkflowResponse:
        """Look for all that a workflow names."""
        found = await self._core.check_workflow(request.tenant, request.spec)
        problems = [MissingName(field=each.field, description=each.description) for each in found]
        return CheckWorkflowResponse(missing=problems)

    async def ForkRun(self, request: ForkRunRequest, context: Context) -> ForkRunResponse:
        """Begin a run with another one's events."""
        run = await self._forks.fork_run(
            request.tenant, request.run_id, request.at_seq, request.request_id, request.session_id
        )
        return ForkRunResponse(run=run)

    async def CancelRun(self, request: CancelRunRequest, context: Context) -> CancelRunResponse:
        """Ask for a run's end."""
        run = await self._core.cancel_run(request.tenant, request.run_id, request.reason)
        return CancelRunResponse(run=run)
