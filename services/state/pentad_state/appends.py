"""Appends: what the holder of a run adds to its journal, and what changes with it, at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.job_pb2 import Job
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import ApprovalChange, Lease
from pentad_chassis.errors import ServiceError
from pentad_state.book import asking_about_doubts, book_keys, change_values
from pentad_state.bounds import APPEND_BYTES, check_name, check_size, invalid
from pentad_state.config import Config
from pentad_state.cursor import Position
from pentad_state.doubts import doubt
from pentad_state.errors import RunNotFound, SeqConflict, SignalUnheard, StaleFence
from pentad_state.jobs import job_keys, jobs_values
from pentad_state.journal import check_kinds, from_kept, stamped, tag_of, to_kept
from pentad_state.partitions import key, partition_of_run
from pentad_state.projection import ENDED
from pentad_state.store import Reply, Store, Value, script
from pentad_state.watchers import Growth, Watchers


@dataclass(frozen=True, slots=True)
class Beside:
    """What changes together with a journal."""

    heard: int = 0
    """How much of what the run was told is journalled with this append, over its life."""

    approvals: Sequence[ApprovalChange] = ()
    jobs: Sequence[Job] = ()

    def __bool__(self) -> bool:
        return bool(self.heard or self.approvals or self.jobs)


ALONE = Beside()
"""Nothing but the journal changes."""


class Appends:
    """Every method is one atomic step of the store."""

    def __init__(self, store: Store, config: Config, watchers: Watchers) -> None:
        self._store = store
        self._watchers = watchers
        self._retention_ms = int(config.run_retention_s * 1000)
        self._text_ms = int(config.text_retention_s * 1000)

    async def append(
        self,
        lease: Lease,
        expected_seq: int,
        append_id: str,
        events: Sequence[Event],
        status: RunStatus,
        beside: Beside = ALONE,
    ) -> list[Event]:
        """Add events to a journal and return them as they are recorded."""
        check_name("append_id", append_id)
        _check_events(expected_seq, events)
        kept = [to_kept(event) for event in events]
        check_size("events", sum(map(len, kept)) + status.ByteSize(), APPEND_BYTES)
        run_id = lease.run_id
        p = partition_of_run(run_id)
        keys: list[Value] = [
            key(p, "run", run_id), key(p, "journal", run_id),
            key(p, "text", run_id, str(expected_seq)),
        ]  # fmt: skip
        values: list[Value] = [
            run_id, lease.fence, expected_seq, tag_of(append_id),
            status.state or RunStatus.STATE_RUNNING, status.SerializeToString(), self._text_ms,
            int(any(event.WhichOneof("kind") == "run_resumed" for event in events)),
            len(kept), *kept,
        ]  # fmt: skip
        name = "run_append"
        if beside or status.state > RunStatus.STATE_RUNNING:
            name = "run_append_all"
            keys += _other_keys(p, run_id)
            values += self._other_values(p, run_id, status, beside)
        with self._watchers.recording(run_id) as grew:
            verdict, *rest = await self._store.run(script(name), keys, *values)
            if verdict == b"OK":
                ms, spoken = int(rest[0]), rest[1]
                added = [stamped(e, run_id, expected_seq + i, ms) for i, e in enumerate(events, 1)]
                start, end = Position(expected_seq, spoken), Position(added[-1].seq)
                grew(Growth(start, added, end, closes=status.state in ENDED))
                return added
        if verdict == b"REPEATED":
            return [from_kept(run_id, expected_seq + i, e) for i, e in enumerate(rest[0], 1)]
        raise _refusal(lease, expected_seq, verdict, rest)

    def _other_values(self, p: int, run_id: str, status: RunStatus, beside: Beside) -> list[Value]:
        """Return what `run_append_all` takes behind the events."""
        return [
            self._retention_ms,
            " ".join(doubt(effect) for effect in status.pause.unknown_effects),
            asking_about_doubts(beside.approvals),
            max(status.waiting.wake_time.ToMilliseconds(), 0),
            max(beside.heard, 0),
            len(beside.approvals),
            *change_values(run_id, beside.approvals),
            *jobs_values("jobs", beside.jobs, p),
        ]


def _other_keys(p: int, run_id: str) -> list[Value]:
    return [
        key(p, "leases"), key(p, "effects", run_id), key(p, "ready"), key(p, "ended"),
        key(p, "wakes"), key(p, "inbox", run_id), key(p, "told", run_id), *book_keys(p, run_id),
        *job_keys(p),
    ]  # fmt: skip


def _refusal(lease: Lease, expected_seq: int, verdict: bytes, rest: Reply) -> ServiceError:
    """Return why nothing was recorded."""
    match verdict:
        case b"CONFLICT":
            return SeqConflict(lease.run_id, expected_seq, rest[0])
        case b"STALE":
            return StaleFence(lease.run_id, lease.fence)
        case b"UNHEARD":
            return SignalUnheard(lease.run_id, f"{lease.run_id}/{rest[0].decode()}")
        case _:
            return RunNotFound(lease.run_id)


def _check_events(expected_seq: int, events: Sequence[Event]) -> None:
    if expected_seq < 1:
        raise invalid("expected_seq", "must be at least 1: every journal begins with run_created")
    if not events:
        raise invalid("events", "must not be empty")
    check_kinds("events", events)
