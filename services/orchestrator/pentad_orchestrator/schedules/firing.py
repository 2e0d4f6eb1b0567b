"""Starting the runs of schedules: the handler of their jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import TYPE_CHECKING

from pentad.orchestrator.v1.schedule_record_pb2 import (
    LatestRun,
    RecordedFiring,
    ScheduleRecord,
)
from pentad.state.v1.job_pb2 import Job
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad.state.v1.run_pb2 import Run, RunSpec
from pentad.state.v1.run_service_pb2 import GetRunRequest, RequestCancelRequest
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_chassis.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from pentad_chassis.failpoints import failpoint
from pentad_chassis.semconv import PENTAD_TENANT
from pentad_chassis.telemetry import Telemetry
from pentad_orchestrator.schedules import plan
from pentad_orchestrator.schedules.record import starting
from pentad_orchestrator.schedules.store import ScheduleStore, Stored, job_of
from pentad_orchestrator.schedules.timing import times_of, zone_of

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

CreateRun = Callable[[str, RunSpec, str], Awaitable[Run]]
"""Has a run accepted, by tenant, spec and request id; a repeat returns the first one."""

_ROUNDS_MAX = 8
"""Of deciding and creating in one go; what is left is due at once, and others have their turn."""

_FOR_GOOD = (AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied)
"""What creating a run again would not mend."""

_CANCEL_REASON = "the next time of the schedule {name} has come"


class Firings:
    """Decides what is due, and creates the runs that were decided."""

    def __init__(
        self,
        store: ScheduleStore,
        runs: "RunServiceAsyncStub",
        create_run: CreateRun,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._runs = runs
        self._create_run = create_run
        self._telemetry = telemetry

    async def fire(self, claimed: ClaimedJob) -> Job | None:
        """Do what is due for a schedule; return its job for the next time there is something."""
        tenant, name = claimed.job.tenant, claimed.job.fire_schedule.schedule
        now_ms = claimed.claim_time.ToMilliseconds()
        due_ms: int | None = now_ms
        stored: Stored | None = None
        for _ in range(_ROUNDS_MAX):
            stored = stored or await self._store.load(tenant, name)
            if stored is None:
                return None
            try:
                advanced = await self._advance(stored, now_ms)
            except Aborted:
                stored = None  # somebody else has changed it: what holds now is read again
                continue
            if advanced is stored:
                due_ms = plan.due_ms(stored.record, times_of(stored.record.schedule), now_ms)
                break
            stored = advanced
        return await self._again(claimed.job, due_ms)

    async def settle(self, stored: Stored) -> Stored:
        """Create every run that was decided, and record which they are."""
        if not starting(stored.record):
            return stored
        record = ScheduleRecord()
        record.CopyFrom(stored.record)
        for entry in starting(record):
            await self._start(stored.tenant, record, entry)
        return await self._store.save(stored, stored.tenant, record)

    async def _advance(self, stored: Stored, now_ms: int) -> Stored:
        """Go one step on; return the same where there was nothing to do."""
        settled = await self.settle(stored)
        ended = await self._ended(settled)
        if run_id := plan.to_cancel(settled.record, ended.__contains__):
            await self._cancel(settled, run_id)
        record = ScheduleRecord()
        record.CopyFrom(settled.record)
        plan.decide(record, times_of(record.schedule), now_ms, ended.__contains__)
        if record == settled.record:
            return settled
        return await self._store.save(settled, settled.tenant, record)

    async def _again(self, job: Job, due_ms: int | None) -> Job | None:
        """Return the schedule's job as it is to be; a job that mends puts that one, and is done."""
        own = job_of(job.tenant, job.fire_schedule.schedule, due_ms)
        if due_ms is None:
            return None
        if job.job_id == own.job_id:
            return own
        await self._store.call_up(job.tenant, job.fire_schedule.schedule, due_ms)
        return None

    async def _start(self, tenant: str, record: ScheduleRecord, entry: RecordedFiring) -> None:
        firing, schedule = entry.firing, record.schedule
        await failpoint("orchestrator.fire.before")
        try:
            with self._telemetry.span("fire_schedule", attributes={PENTAD_TENANT: tenant}):
                spec = spec_at(schedule, firing)
                run = await self._create_run(tenant, spec, request_id_of(schedule.name, entry))
        except _FOR_GOOD as error:
            firing.outcome, entry.code = Firing.OUTCOME_FAILED, error.code.value
            firing.reason, firing.message = error.reason, error.message
            return
        await failpoint("orchestrator.fire.after")
        firing.outcome, firing.run_id = Firing.OUTCOME_STARTED, run.run_id
        latest = LatestRun(run_id=run.run_id, decide_time=firing.decide_time)
        if firing.cause != Firing.CAUSE_BACKFILL:
            record.latest.CopyFrom(latest)
        for backfill in record.backfills:
            if backfill.batch == entry.batch:
                backfill.latest.CopyFrom(latest)

    async def _ended(self, stored: Stored) -> set[str]:
        """Return which of the runs that matter have ended."""
        watched = sorted(plan.watched_runs(stored.record))
        found = await asyncio.gather(*(self._has_ended(stored.tenant, each) for each in watched))
        return {run_id for run_id, ended in zip(watched, found, strict=True) if ended}

    async def _has_ended(self, tenant: str, run_id: str) -> bool:
        try:
            response = await self._runs.GetRun(GetRunRequest(tenant=tenant, run_id=run_id))
        except NotFound:
            return True
        return response.run.HasField("end_time")

    async def _cancel(self, stored: Stored, run_id: str) -> None:
        reason = _CANCEL_REASON.format(name=stored.name)
        try:
            await self._runs.RequestCancel(
                RequestCancelRequest(tenant=stored.tenant, run_id=run_id, reason=reason)
            )
        except NotFound:
            return


def request_id_of(name: str, entry: RecordedFiring) -> str:
    """Return the request id of a firing's run: whoever creates it, it is the same run."""
    return f"pentad:schedule/{name}/{entry.batch}/{entry.firing.time.ToMilliseconds()}"


def spec_at(schedule: Schedule, firing: Firing) -> RunSpec:
    """Return what the run of a time is asked."""
    spec = RunSpec()
    spec.CopyFrom(schedule.spec)
    moment = firing.time.ToDatetime(tzinfo=UTC).astimezone(zone_of(schedule))
    told = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    spec.input = spec.input.replace("{time}", told)
    for step in spec.multi_step.steps if spec.HasField("multi_step") else ():
        step.input = step.input.replace("{time}", told)
    return spec
