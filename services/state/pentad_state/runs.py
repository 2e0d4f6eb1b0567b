"""Runs: created once, appended to by whoever holds them, read by their tenant."""

import asyncio
from collections.abc import Sequence

from pentad.state.v1.event_pb2 import Event, RunCreated, RunResumed
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad.state.v1.run_service_pb2 import Claim, ClaimedRun, Lease
from pentad_state.bounds import (
    APPEND_BYTES,
    KIB,
    check_count,
    check_name,
    check_range,
    check_size,
    invalid,
)  # fmt: skip
from pentad_state.config import Config
from pentad_state.cursor import Position
from pentad_state.doubts import doubt, unsettled
from pentad_state.errors import (
    RequestIdReused,
    RunNotFound,
    RunNotPaused,
    ScheduleFull,
    SeqConflict,
    StaleFence,
)
from pentad_state.journal import from_kept, stamped, tag_of, to_kept, to_time
from pentad_state.leases import JOURNAL_BYTES, JOURNAL_EVENTS, lease_ms
from pentad_state.pages import SCANS_MAX, STAMP, Page, newest
from pentad_state.partitions import PARTITIONS, key, partition_of_run, run_id_for
from pentad_state.store import Store, script, to_dict
from pentad_state.watchers import Growth, Watchers

_PRIORITY_MAX = 10
_DELAY_DAYS_MAX = 366
"""A day more than callers are promised, for their clocks are not the store's."""
_DAY_MS = 24 * 3600 * 1000
_EVENTS_MAX = 200
_SETTLEMENTS_MAX = 1000
_REASON_BYTES = KIB
_SAMPLED = frozenset("13579bdf")
"""Last digits of a `traceparent` whose trace is kept."""
_NOT_APPENDED = frozenset({None, "text_delta", "run_created"})
ENDED = frozenset({RunStatus.STATE_COMPLETED, RunStatus.STATE_FAILED, RunStatus.STATE_CANCELLED})


class Runs:
    """Every method is one atomic step of the store."""

    def __init__(self, store: Store, config: Config, watchers: Watchers) -> None:
        self._store = store
        self._watchers = watchers
        self._queued_max = config.max_queued // PARTITIONS
        """Of one partition."""
        self._retention_ms = int(config.run_retention_s * 1000)
        self._text_ms = int(config.text_retention_s * 1000)

    async def create(
        self,
        request_id: str,
        fingerprint: bytes,
        created: RunCreated,
        claim: Claim | None,
        begun: Sequence[Event] = (),
        status: RunStatus | None = None,
    ) -> tuple[Run, ClaimedRun | None, bool]:
        """Record a run; return it, the claim if one was made, and whether this call created it."""
        check_name("request_id", request_id)
        check_name("created.tenant", created.tenant)
        if claim is not None:
            check_name("claim.owner", claim.owner)
        check_range("created.spec.priority", created.spec.priority, -_PRIORITY_MAX, _PRIORITY_MAX)
        check_size("created", created.ByteSize(), APPEND_BYTES)
        following = _begun_with(begun, claim)
        run_id = run_id_for(created.tenant, request_id)
        head = Run(
            run_id=run_id,
            tenant=created.tenant,
            spec=created.spec,
            trace_id=_trace_id(created.traceparent),
        )
        p = partition_of_run(run_id)
        verdict, *held = await self._store.run(
            script("run_create"),
            [
                key(p, "run", run_id), key(p, "journal", run_id), key(p, "ready"),
                key(p, "leases"), key(p, "runs", created.tenant), key(p, "due"), key(p, "turns"),
            ],
            run_id, created.tenant, fingerprint, head.SerializeToString(),
            to_kept(Event(run_created=created)),
            claim.owner if claim else "",
            lease_ms(claim) if claim else 0,
            f"{_PRIORITY_MAX + 1 - created.spec.priority:02d}",
            max(created.spec.start_time.ToMilliseconds(), 0), _DELAY_DAYS_MAX * _DAY_MS,
            self._queued_max, (status or RunStatus()).SerializeToString(), *following,
        )  # fmt: skip
        self._check_created(verdict, request_id)
        fields = to_dict(held[0])
        run = _to_run(fields)
        if verdict == b"EXISTS":
            return run, None, False
        if run.status.state != RunStatus.STATE_RUNNING:
            return run, None, True
        ms = int(fields[b"created"])
        events = [
            stamped(event, run_id, seq, ms)
            for seq, event in enumerate((Event(run_created=created), *begun), 1)
        ]
        lease = Lease(run_id=run_id, fence=int(fields[b"fence"]))
        return run, ClaimedRun(lease=lease, events=events, last_seq=len(events)), True

    async def get(self, tenant: str, run_id: str) -> tuple[Run, bytes]:
        """Return a run and the fingerprint of the request that created it."""
        fields = await self._fields(run_id)
        if fields.get(b"tenant") != tenant.encode():
            raise RunNotFound(run_id)
        return _to_run(fields), fields[b"fingerprint"]

    async def list_runs(
        self, tenant: str, state: RunStatus.State.ValueType, session_id: str, size: int, token: str
    ) -> tuple[list[Run], str]:
        """Return a page of a tenant's runs, newest first, and the token of the next."""
        page = Page[Run](("runs", tenant, str(state), session_id), size, token)
        for _ in range(SCANS_MAX):
            members, more = await newest(self._store, "runs", tenant, page.last)
            found = await asyncio.gather(*(self._fields(m[STAMP:]) for m in members))
            for member, fields in zip(members, found, strict=True):
                if not page.room:
                    return page.items, page.next_token()
                run = _to_run(fields) if fields else None
                if run is not None and _selected(run, state, session_id):
                    page.add(member, run)
                else:
                    page.skip(member)
            if not more:
                return page.items, ""
        return page.items, page.next_token()

    async def list_events(self, run_id: str, after_seq: int) -> list[Event]:
        """Return the events behind a place, as many as fit into one answer."""
        p, after_seq = partition_of_run(run_id), max(after_seq, 0)
        kept = await self._store.run(
            script("run_events"),
            [key(p, "run", run_id), key(p, "journal", run_id)],
            after_seq, JOURNAL_EVENTS, JOURNAL_BYTES,
        )  # fmt: skip
        if kept is None:
            raise RunNotFound(run_id)
        return [from_kept(run_id, after_seq + i, event) for i, event in enumerate(kept, 1)]

    async def append(
        self,
        lease: Lease,
        expected_seq: int,
        append_id: str,
        events: Sequence[Event],
        status: RunStatus,
    ) -> list[Event]:
        """Add events to a journal and return them as they are recorded."""
        check_name("append_id", append_id)
        _check_events(expected_seq, events)
        kept = [to_kept(event) for event in events]
        check_size("events", sum(map(len, kept)) + status.ByteSize(), APPEND_BYTES)
        run_id = lease.run_id
        p = partition_of_run(run_id)
        with self._watchers.recording(run_id) as grew:
            verdict, *rest = await self._store.run(
                script("run_append"),
                [
                    key(p, "run", run_id), key(p, "journal", run_id), key(p, "leases"),
                    key(p, "text", run_id, str(expected_seq)), key(p, "effects", run_id),
                    key(p, "ready"), key(p, "ended"),
                ],
                run_id, lease.fence, expected_seq, tag_of(append_id),
                status.state or RunStatus.STATE_RUNNING, status.SerializeToString(),
                self._retention_ms, self._text_ms,
                int(any(event.WhichOneof("kind") == "run_resumed" for event in events)),
                " ".join(doubt(effect) for effect in status.pause.unknown_effects),
                *kept,
            )  # fmt: skip
            if verdict == b"OK":
                ms, spoken = int(rest[0]), rest[1]
                added = [stamped(e, run_id, expected_seq + i, ms) for i, e in enumerate(events, 1)]
                start, end = Position(expected_seq, spoken), Position(added[-1].seq)
                grew(Growth(start, added, end, closes=status.state in ENDED))
                return added
        match verdict:
            case b"REPEATED":
                return [from_kept(run_id, expected_seq + i, e) for i, e in enumerate(rest[0], 1)]
            case b"CONFLICT":
                raise SeqConflict(run_id, expected_seq, rest[0])
            case b"STALE":
                raise StaleFence(run_id, lease.fence)
            case _:
                raise RunNotFound(run_id)

    async def request_cancel(self, tenant: str, run_id: str, reason: str) -> Run:
        """Record that a run is to end, and return it as it stands."""
        check_size("reason", len(reason.encode()), _REASON_BYTES)
        p = partition_of_run(run_id)
        verdict, *held = await self._store.run(
            script("run_cancel"),
            [key(p, "run", run_id), key(p, "ready"), key(p, "due")],
            run_id, tenant, reason,
        )  # fmt: skip
        if verdict == b"GONE":
            raise RunNotFound(run_id)
        return _to_run(to_dict(held[0]))

    async def request_pause(self, tenant: str, run_id: str, reason: str) -> Run:
        """Record that a run is to rest, and return it as it stands."""
        check_size("reason", len(reason.encode()), _REASON_BYTES)
        p = partition_of_run(run_id)
        verdict, *held = await self._store.run(
            script("run_pause"),
            [key(p, "run", run_id), key(p, "ready"), key(p, "due")],
            run_id, tenant, reason,
        )  # fmt: skip
        if verdict == b"GONE":
            raise RunNotFound(run_id)
        return _to_run(to_dict(held[0]))

    async def resume(self, tenant: str, run_id: str, resume_id: str, resumed: RunResumed) -> Run:
        """Let a run go on that rests or is asked to, and return it as it stands."""
        check_name("resume_id", resume_id)
        check_count("resumed.settlements", len(resumed.settlements), _SETTLEMENTS_MAX)
        kept = resumed.SerializeToString()
        check_size("resumed", len(kept), APPEND_BYTES)
        p = partition_of_run(run_id)
        verdict, *held = await self._store.run(
            script("run_resume"),
            [key(p, "run", run_id), key(p, "ready"), key(p, "due"), key(p, "turns")],
            run_id, tenant, tag_of(resume_id), kept, *map(doubt, resumed.settlements),
        )  # fmt: skip
        match verdict:
            case b"GONE":
                raise RunNotFound(run_id)
            case b"AWAKE":
                raise RunNotPaused(run_id)
        run = _to_run(to_dict(held[0]))
        if verdict == b"UNSETTLED":
            raise unsettled(run, resumed)
        return run

    def _check_created(self, verdict: bytes, request_id: str) -> None:
        match verdict:
            case b"REUSED":
                raise RequestIdReused(request_id)
            case b"FULL":
                raise ScheduleFull(self._queued_max * PARTITIONS)
            case b"FAR":
                raise invalid("created.spec.start_time", f"is over {_DELAY_DAYS_MAX} days ahead")

    async def _fields(self, run_id: str) -> dict[bytes, bytes]:
        run = key(partition_of_run(run_id), "run", run_id)
        return to_dict(await self._store.call("HGETALL", run, lasting=True))


def _check_events(expected_seq: int, events: Sequence[Event]) -> None:
    if expected_seq < 1:
        raise invalid("expected_seq", "must be at least 1: every journal begins with run_created")
    if not events:
        raise invalid("events", "must not be empty")
    _check_kinds("events", events)


def _begun_with(begun: Sequence[Event], claim: Claim | None) -> list[bytes]:
    if begun and claim is None:
        raise invalid("begun", "must be empty without a claim: only an owner begins")
    _check_kinds("begun", begun)
    kept = [to_kept(event) for event in begun]
    check_size("begun", sum(map(len, kept)), APPEND_BYTES)
    return kept


def _check_kinds(field: str, events: Sequence[Event]) -> None:
    check_count(field, len(events), _EVENTS_MAX)
    for i, event in enumerate(events):
        if event.WhichOneof("kind") in _NOT_APPENDED:
            raise invalid(f"{field}[{i}].kind", "must be one that is appended to a journal")


def _selected(run: Run, state: RunStatus.State.ValueType, session_id: str) -> bool:
    return (not state or run.status.state == state) and (
        not session_id or run.spec.session_id == session_id
    )


def _to_run(fields: dict[bytes, bytes]) -> Run:
    run = Run.FromString(fields[b"head"])
    run.status.ParseFromString(fields.get(b"status", b""))
    run.status.state = RunStatus.State.ValueType(int(fields[b"state"]))
    run.create_time.CopyFrom(to_time(int(fields[b"created"])))
    if b"started" in fields:
        run.start_time.CopyFrom(to_time(int(fields[b"started"])))
    if b"ended" in fields:
        run.end_time.CopyFrom(to_time(int(fields[b"ended"])))
    run.last_seq = int(fields[b"seq"])
    run.cancel_requested = b"cancel" in fields and run.status.state not in ENDED
    run.pause_requested = b"pause" in fields and run.status.state not in ENDED
    if run.status.state != RunStatus.STATE_PAUSED:
        run.status.ClearField("pause")  # it was journalled, and is over
    return run


def _trace_id(traceparent: str) -> str:
    """Return the trace that holds a run, unless it is not kept."""
    _, _, rest = traceparent.partition("-")
    trace_id, _, rest = rest.partition("-")
    sampled = rest[-1:] in _SAMPLED
    return trace_id if sampled else ""
