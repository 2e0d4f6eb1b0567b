"""Accepting runs, and ending them at a caller's wish."""

from typing import TYPE_CHECKING

from pentad.state.v1.run_pb2 import Run, RunSpec
from pentad.state.v1.run_service_pb2 import (
    Claim,
    CreateRunRequest,
    GetRunRequest,
    RequestCancelRequest,
)
from pentad.state.v1.workflow_pb2 import WorkflowSpec
from pentad_chassis.errors import FieldViolation, NotFound, ServiceError
from pentad_chassis.telemetry import current_traceparent
from pentad_orchestrator import plan
from pentad_orchestrator.callbacks import Callbacks
from pentad_orchestrator.creation import Creation, fingerprint
from pentad_orchestrator.errors import RequestIdReused, WorkflowInvalid
from pentad_orchestrator.owned import OwnedRuns

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub


class OrchestratorCore:
    """What callers may ask of this service."""

    def __init__(
        self,
        runs: "RunServiceAsyncStub",
        creation: Creation,
        callbacks: Callbacks,
        owned: OwnedRuns,
        claim: Claim,
    ) -> None:
        self._runs = runs
        self._creation = creation
        self._callbacks = callbacks
        self._owned = owned
        self._claim = claim

    async def create_run(self, tenant: str, spec: RunSpec, request_id: str) -> Run:
        """Record a run with all that it depends on, and work on it if there is room.

        A repeat returns the first run, whatever became of its agent since.
        """
        try:
            await self._callbacks.require(tenant, spec.callbacks)
            created = await self._creation.pin(tenant, spec, request_id, current_traceparent())
        except (NotFound, WorkflowInvalid) as missing:
            return await self._existing(tenant, spec, request_id, missing)
        request = CreateRunRequest(
            request_id=request_id, fingerprint=fingerprint(tenant, spec), created=created
        )
        if self._owned.room:
            request.claim.CopyFrom(self._claim)
            begun, status = plan.opening(created, self._claim.owner)
            request.begun.extend(begun)
            request.status.CopyFrom(status)
        response = await self._runs.CreateRun(request)
        if response.HasField("claimed"):
            self._owned.adopt(response.claimed)
        return response.run

    async def check_workflow(self, tenant: str, spec: WorkflowSpec) -> list[FieldViolation]:
        """Return a violation for all that a workflow names and that does not exist."""
        return await self._creation.problems(tenant, spec)

    async def cancel_run(self, tenant: str, run_id: str, reason: str) -> Run:
        """Record that a run is to end; its owner, wherever it is, hears of it."""
        response = await self._runs.RequestCancel(
            RequestCancelRequest(tenant=tenant, run_id=run_id, reason=reason)
        )
        return response.run

    async def _existing(
        self, tenant: str, spec: RunSpec, request_id: str, missing: ServiceError
    ) -> Run:
        try:
            found = await self._runs.GetRun(GetRunRequest(tenant=tenant, request_id=request_id))
        except NotFound:
            raise missing from None
        if found.fingerprint != fingerprint(tenant, spec):
            raise RequestIdReused(request_id)
        return found.run
