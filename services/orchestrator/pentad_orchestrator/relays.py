"""What one run has to tell another, carried over by jobs of the one that says it."""

from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.job_pb2 import Job
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import GetRunRequest, RequestCancelRequest, SignalRunRequest
from pentad_chassis.errors import NotFound
from pentad_orchestrator.outputs import BYTES_MAX, shortened

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub


class Relays:
    """Jobs about other runs; one that is gone needs to be told nothing."""

    def __init__(self, runs: "RunServiceAsyncStub") -> None:
        self._runs = runs

    async def signal(self, claimed: ClaimedJob) -> None:
        """Tell a run something; it hears it once, however often this is done."""
        signal = claimed.job.signal_run
        request = SignalRunRequest(
            tenant=claimed.job.tenant,
            run_id=signal.run_id,
            signal_id=signal.signal_id,
            event=await self._whole(claimed.job, signal.event),
        )
        try:
            await self._runs.SignalRun(request)
        except NotFound:
            return

    async def cancel(self, claimed: ClaimedJob) -> None:
        """Have a run end."""
        cancel, tenant = claimed.job.cancel_run, claimed.job.tenant
        try:
            run_id = cancel.run_id or await self._created_by(tenant, cancel.request_id)
            await self._runs.RequestCancel(
                RequestCancelRequest(tenant=tenant, run_id=run_id, reason=cancel.reason)
            )
        except NotFound:
            return

    async def _whole(self, job: Job, event: Event) -> Event:
        """Return what is to be told, with the answer that was too long for the job."""
        status = event.child_ended.status
        if status.state != RunStatus.STATE_COMPLETED or status.output:
            return event
        found = await self._runs.GetRun(GetRunRequest(tenant=job.tenant, run_id=job.place))
        whole = Event()
        whole.CopyFrom(event)
        whole.child_ended.status.output = shortened(found.run.status.output, BYTES_MAX)
        return whole

    async def _created_by(self, tenant: str, request_id: str) -> str:
        found = await self._runs.GetRun(GetRunRequest(tenant=tenant, request_id=request_id))
        return found.run.run_id
