"""Translation between the wire and the core; nothing else."""

from pentad.orchestrator.v1.orchestrator_service_pb2 import (
    CancelRunRequest,
    CancelRunResponse,
    CreateRunRequest,
    CreateRunResponse,
)
from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceServicer
from pentad_chassis.server import Context
from pentad_orchestrator.core import OrchestratorCore


class OrchestratorServicer(OrchestratorServiceServicer):
    """Serves `pentad.orchestrator.v1.OrchestratorService`."""

    def __init__(self, core: OrchestratorCore) -> None:
        self._core = core

    async def CreateRun(self, request: CreateRunRequest, context: Context) -> CreateRunResponse:
        """Accept a run."""
        run = await self._core.create_run(request.tenant, request.spec, request.request_id)
        return CreateRunResponse(run=run)

    async def CancelRun(self, request: CancelRunRequest, context: Context) -> CancelRunResponse:
        """Ask for a run's end."""
        run = await self._core.cancel_run(request.tenant, request.run_id, request.reason)
        return CancelRunResponse(run=run)
