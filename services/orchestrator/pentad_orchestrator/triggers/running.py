"""Starting the runs of triggers: the handler of their jobs."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from pentad.state.v1.job_pb2 import Job, RunTrigger
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad.state.v1.run_pb2 import Failure, Run, RunSpec
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad.state.v1.topic_service_pb2 import ReadTopicRequest
from pentad.state.v1.trigger_pb2 import TriggerFailure
from pentad_chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ServiceError,
)
from pentad_chassis.semconv import PENTAD_TENANT
from pentad_chassis.telemetry import Telemetry
from pentad_orchestrator.triggers.matching import INPUT_BYTES_MAX, InputTooLarge, holds, spec_for
from pentad_orchestrator.triggers.store import Stored, TriggerStore

if TYPE_CHECKING:
    from pentad.state.v1.topic_service_pb2_grpc import TopicServiceAsyncStub

CreateRun = Callable[[str, RunSpec, str], Awaitable[Run]]
"""Has a run accepted, by tenant, spec and request id; a repeat returns the first one."""

_EVENTS_AT_ONCE = 20
"""So many are done with well within a lease; what is left is due at once."""

_IDLE_MS = 24 * 3600 * 1000
"""Events nudge the job; so often it looks by itself whether its trigger is still there."""

_PAUSE_MS = 1000
_FOR_GOOD = (AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied)
"""What creating a run again would not mend."""


class Triggering:
    """Reads topics behind triggers' places, and creates a run for each event."""

    def __init__(
        self,
        store: TriggerStore,
        topics: "TopicServiceAsyncStub",
        create_run: CreateRun,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._topics = topics
        self._create_run = create_run
        self._telemetry = telemetry

    async def run(self, claimed: ClaimedJob) -> Job | None:
        """Do what there is for a trigger; return its job as it is to be."""
        job, task = claimed.job, claimed.job.run_trigger
        stored = await self._store.load(job.tenant, task.trigger)
        if not task.generation:
            if stored is not None:
                await self._store.attach(stored)
            return None
        if stored is None or stored.generation != task.generation:
            await self._store.detach(job.tenant, task.topic, task.trigger, task.generation)
            return None
        return await self._read_on(claimed, stored)

    async def _read_on(self, claimed: ClaimedJob, stored: Stored) -> Job:
        events, last_seq = await self._behind(claimed.job.tenant, claimed.job.run_trigger)
        at, pause_ms = claimed.job.run_trigger.read_seq, 0
        failure: TriggerFailure | None = None
        for event in events:
            try:
                failure = await self._start(stored, event) or failure
            except ServiceError:
                if at == claimed.job.run_trigger.read_seq:
                    raise  # nothing to keep: the job is tried again, later and later
                pause_ms = _PAUSE_MS
                break
            at = event.seq
        if failure is not None:
            await self._store.note(stored, failure)
        if not pause_ms and at >= last_seq:
            pause_ms = _IDLE_MS
        return _again(claimed, at, pause_ms)

    async def _behind(self, tenant: str, task: RunTrigger) -> tuple[Sequence[TopicEvent], int]:
        """Return the next events, and the place of the last there is."""
        request = ReadTopicRequest(
            tenant=tenant, topic=task.topic, after_seq=task.read_seq, limit=_EVENTS_AT_ONCE
        )
        try:
            found = await self._topics.ReadTopic(request)
        except OutOfRange as expired:
            # The topic let go of what this trigger never got to; it goes on with what there is.
            lost = int(expired.metadata["oldest_seq"]) - task.read_seq
            self._telemetry.log.warning(
                "trigger missed events", trigger=task.trigger, topic=task.topic, events=lost
            )
            request.after_seq = 0
            found = await self._topics.ReadTopic(request)
        return found.events, found.last_seq

    async def _start(self, stored: Stored, event: TopicEvent) -> TriggerFailure | None:
        """Start the event's run, if it is to have one; return why it never will have it."""
        trigger = stored.trigger
        if not holds(trigger, event):
            return None
        request_id = f"pentad:trigger/{trigger.name}/{stored.generation}/{event.seq}"
        try:
            spec = spec_for(trigger, event)
            with self._telemetry.span("run_trigger", attributes={PENTAD_TENANT: stored.tenant}):
                await self._create_run(stored.tenant, spec, request_id)
        except InputTooLarge:
            limit = f"with the event in it, an input has more than {INPUT_BYTES_MAX} bytes"
            return _failure(event, "PAYLOAD_TOO_LARGE", limit)
        except _FOR_GOOD as error:
            return _failure(event, error.reason, error.message)
        return None


def _failure(event: TopicEvent, reason: str, message: str) -> TriggerFailure:
    return TriggerFailure(
        seq=event.seq, event_time=event.time, failure=Failure(reason=reason, message=message)
    )


def _again(claimed: ClaimedJob, at: int, pause_ms: int) -> Job:
    again = Job()
    again.CopyFrom(claimed.job)
    again.run_trigger.read_seq = at
    again.due_time.FromMilliseconds(claimed.claim_time.ToMilliseconds() + pause_ms)
    return again
