"""Triggers as the state service keeps them: an entry for each, and a job beside its topic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pentad.state.v1.entry_service_pb2 import (
    DeleteEntryRequest,
    Entry,
    GetEntryRequest,
    ListEntriesRequest,
    PutEntryRequest,
)
from pentad.state.v1.job_pb2 import Job, Queue, RunTrigger
from pentad.state.v1.job_service_pb2 import DeleteJobRequest, PutJobRequest
from pentad.state.v1.topic_service_pb2 import AttachTriggerRequest, DetachTriggerRequest
from pentad.state.v1.trigger_pb2 import Trigger, TriggerFailure, TriggerRecord
from pentad_chassis import scopes
from pentad_chassis.clock import Clock
from pentad_chassis.errors import Aborted, NotFound

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub
    from pentad.state.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from pentad.state.v1.topic_service_pb2_grpc import TopicServiceAsyncStub

_MEND_S = 30.0
"""After so long a change that was cut short is looked after: longer than any call may take."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A trigger's record at a version of its entry."""

    tenant: str
    record: TriggerRecord
    version: int
    generation: int
    """Tells it from others that have, or had, its name."""

    @property
    def trigger(self) -> Trigger:
        """As callers see it."""
        return self.record.trigger


class TriggerStore:
    """Reads and changes records, and sees to it that each has its job."""

    def __init__(
        self,
        entries: "EntryServiceAsyncStub",
        topics: "TopicServiceAsyncStub",
        jobs: "JobServiceAsyncStub",
        clock: Clock,
    ) -> None:
        self._entries = entries
        self._topics = topics
        self._jobs = jobs
        self._clock = clock

    async def load(self, tenant: str, name: str) -> Stored | None:
        """Return a trigger; None where there is none."""
        request = GetEntryRequest(scope=scopes.triggers(tenant), key=name)
        try:
            response = await self._entries.GetEntry(request)
        except NotFound:
            return None
        return _to_stored(tenant, response.entry)

    async def add(self, tenant: str, record: TriggerRecord) -> Stored:
        """Record a trigger where there is none of its name; else raise Aborted."""
        return await self._put(tenant, record, 0)

    async def note(self, stored: Stored, failure: TriggerFailure) -> None:
        """Say at a trigger what went wrong last, unless somebody changed it meanwhile."""
        record = TriggerRecord()
        record.CopyFrom(stored.record)
        record.trigger.last_failure.CopyFrom(failure)
        try:
            await self._put(stored.tenant, record, stored.version)
        except Aborted:
            return

    async def list_page(self, tenant: str, size: int, token: str) -> tuple[list[Stored], str]:
        """Return a page of triggers by name, and the token of the next."""
        page = await self._entries.ListEntries(
            ListEntriesRequest(scope=scopes.triggers(tenant), page_size=size, page_token=token)
        )
        return [_to_stored(tenant, entry) for entry in page.entries], page.next_page_token

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a trigger. A job that is left behind ends itself when it is next done."""
        stored = await self.load(tenant, name)
        if stored is None:
            return
        await self._entries.DeleteEntry(DeleteEntryRequest(scope=scopes.triggers(tenant), key=name))
        await self.detach(tenant, stored.trigger.topic, name, stored.generation)

    async def attach(self, stored: Stored) -> None:
        """See to it that the trigger has its job."""
        await self._topics.AttachTrigger(
            AttachTriggerRequest(
                tenant=stored.tenant,
                topic=stored.trigger.topic,
                trigger=stored.trigger.name,
                generation=stored.generation,
                from_beginning=stored.trigger.from_beginning,
            )
        )

    async def detach(self, tenant: str, topic: str, name: str, generation: int) -> None:
        """See to it that a trigger has no job."""
        await self._topics.DetachTrigger(
            DetachTriggerRequest(tenant=tenant, topic=topic, trigger=name, generation=generation)
        )

    @asynccontextmanager
    async def mending(self, tenant: str, name: str) -> AsyncIterator[None]:
        """Have a trigger looked at some time after the block, unless the block gets to its end.

        A trigger is two things in the store: a process that dies between them leaves this job.
        """
        place = f"trigger/{tenant}/{name}"
        job = Job(
            job_id=f"{place}/mend",
            tenant=tenant,
            place=place,
            queue=Queue.QUEUE_RUNS,
            run_trigger=RunTrigger(trigger=name),
        )
        job.due_time.FromMilliseconds(int((self._clock.now() + _MEND_S) * 1000))
        await self._jobs.PutJob(PutJobRequest(job=job))
        yield
        await self._jobs.DeleteJob(DeleteJobRequest(place=place, job_id=job.job_id))

    async def _put(self, tenant: str, record: TriggerRecord, version: int) -> Stored:
        response = await self._entries.PutEntry(
            PutEntryRequest(
                scope=scopes.triggers(tenant),
                key=record.trigger.name,
                value=record.SerializeToString(),
                expected_version=version,
            )
        )
        response.entry.value = record.SerializeToString()
        return _to_stored(tenant, response.entry)


def _to_stored(tenant: str, entry: Entry) -> Stored:
    record = TriggerRecord.FromString(entry.value)
    record.trigger.create_time.CopyFrom(entry.create_time)
    return Stored(tenant, record, entry.version, entry.create_time.ToMilliseconds())
