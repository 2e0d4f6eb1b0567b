"""Schedules as the state service keeps them: an entry for each, and a job that is due next."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.orchestrator.v1.schedule_record_pb2 import ScheduleRecord
from pentad.state.v1.entry_service_pb2 import (
    DeleteEntryRequest,
    Entry,
    GetEntryRequest,
    ListEntriesRequest,
    PutEntryRequest,
)
from pentad.state.v1.job_pb2 import FireSchedule, Job, Queue
from pentad.state.v1.job_service_pb2 import DeleteJobRequest, PutJobRequest
from pentad_chassis.clock import Clock
from pentad_chassis.errors import NotFound
from pentad_orchestrator.schedules.record import materialise, to_time

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub
    from pentad.state.v1.job_service_pb2_grpc import JobServiceAsyncStub

_MEND_S = 30.0
"""After so long a change that was cut short is looked after: longer than any call may take."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A schedule's record at a version of its entry."""

    tenant: str
    record: ScheduleRecord
    version: int
    create_time: Timestamp
    update_time: Timestamp

    @property
    def name(self) -> str:
        """What the schedule is called."""
        return self.record.schedule.name


class ScheduleStore:
    """Reads and changes records, and sees to it that each has its job."""

    def __init__(
        self, entries: "EntryServiceAsyncStub", jobs: "JobServiceAsyncStub", clock: Clock
    ) -> None:
        self._entries = entries
        self._jobs = jobs
        self._clock = clock

    async def load(self, tenant: str, name: str) -> Stored | None:
        """Return a schedule as it stands; None where there is none."""
        try:
            response = await self._entries.GetEntry(GetEntryRequest(scope=_scope(tenant), key=name))
        except NotFound:
            return None
        return _to_stored(tenant, response.entry)

    async def save(self, before: Stored | None, tenant: str, record: ScheduleRecord) -> Stored:
        """Record a schedule where nobody has changed it meanwhile; else raise Aborted."""
        response = await self._entries.PutEntry(
            PutEntryRequest(
                scope=_scope(tenant),
                key=record.schedule.name,
                value=record.SerializeToString(),
                expected_version=before.version if before else 0,
            )
        )
        entry = response.entry
        entry.value = record.SerializeToString()
        return _to_stored(tenant, entry)

    async def list_page(self, tenant: str, size: int, token: str) -> tuple[list[Stored], str]:
        """Return a page of schedules by name, and the token of the next."""
        page = await self._entries.ListEntries(
            ListEntriesRequest(scope=_scope(tenant), page_size=size, page_token=token)
        )
        return [_to_stored(tenant, entry) for entry in page.entries], page.next_page_token

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a schedule. Its job is called up, and ends itself unless there is one anew."""
        await self._entries.DeleteEntry(DeleteEntryRequest(scope=_scope(tenant), key=name))
        await self.call_up(tenant, name, None)

    async def call_up(self, tenant: str, name: str, due_ms: int | None) -> None:
        """Have a schedule looked at when it is due; None is at once, and again if it just was."""
        job = job_of(tenant, name, due_ms)
        job.nudge = due_ms is None
        await self._jobs.PutJob(PutJobRequest(job=job))

    @asynccontextmanager
    async def mending(self, tenant: str, name: str) -> AsyncIterator[None]:
        """Have a schedule looked at some time after the block, unless the block gets to its end.

        A schedule is two things in the store: a process that dies between them leaves this job.
        """
        job = job_of(tenant, name, int((self._clock.now() + _MEND_S) * 1000))
        job.job_id += "/mend"
        await self._jobs.PutJob(PutJobRequest(job=job))
        yield
        await self._jobs.DeleteJob(DeleteJobRequest(place=job.place, job_id=job.job_id))


def job_of(tenant: str, name: str, due_ms: int | None) -> Job:
    """Return the job that looks at a schedule; ids are unique in a partition of many tenants."""
    place = f"schedule/{tenant}/{name}"
    return Job(
        job_id=place,
        tenant=tenant,
        place=place,
        queue=Queue.QUEUE_RUNS,
        due_time=None if due_ms is None else to_time(due_ms),
        fire_schedule=FireSchedule(schedule=name),
    )


def _scope(tenant: str) -> str:
    return f"schedules/{tenant}"


def _to_stored(tenant: str, entry: Entry) -> Stored:
    record = ScheduleRecord.FromString(entry.value)
    materialise(record, entry.update_time)
    return Stored(tenant, record, entry.version, entry.create_time, entry.update_time)
