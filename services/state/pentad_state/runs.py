"""Runs: created once, read by their tenant and by whoever holds them."""

import asyncio
from collections.abc import Sequence

from pentad.state.v1.event_pb2 import Event, RunCreated
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad.state.v1.run_service_pb2 import Claim, ClaimedRun, Lease
from pentad_state.bounds import (
    APPEND_BYTES,
    check_name,
    check_range,
    check_size,
    invalid,
)  # fmt: skip
from pentad_state.config import Config
from pentad_state.errors import (
    RequestIdReused,
    RunNotFound,
    ScheduleFull,
)
from pentad_state.journal import check_kinds, from_kept, stamped, to_kept
from pentad_state.leases import JOURNAL_BYTES, JOURNAL_EVENTS, lease_ms
from pentad_state.pages import SCANS_MAX, STAMP, Page, newest
from pentad_state.partitions import PARTITIONS, key, partition_of_run, run_id_for
from pentad_state.projection import PRIORITY_MAX, level_of, to_head, to_run
from pentad_state.slots import Slots
from pentad_state.store import Store, script, to_dict

_DELAY_DAYS_MAX = 366
"""A day more than callers are promised, for their clocks are not the store's."""
_DAY_MS = 24 * 3600 * 1000


class Runs:
    """Every method is one atomic step of the store."""

    def __init__(self, store: Store, config: Config, slots: Slots) -> None:
        self._store = store
        self._slots = slots
        self._queued_max = config.max_queued // PARTITIONS
        """Of one partition."""

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
        check_range("created.spec.priority", created.spec.priority, -PRIORITY_MAX, PRIORITY_MAX)
        check_size("created", created.ByteSize(), APPEND_BYTES)
        following = _begun_with(begun, claim)
        run_id = run_id_for(created.tenant, request_id)
        p = partition_of_run(run_id)
        async with self._slots.admitting(created, run_id):
            verdict, *held = await self._store.run(
                script("run_create"),
                [
                    key(p, "run", run_id), key(p, "journal", run_id), key(p, "ready"),
                    key(p, "leases"), key(p, "runs", created.tenant), key(p, "due"),
                    key(p, "turns"),
                ],
                run_id, created.tenant, fingerprint, to_head(run_id, created).SerializeToString(),
                to_kept(Event(run_created=created)),
                claim.owner if claim else "",
                lease_ms(claim) if claim else 0,
                level_of(created.spec),
                max(created.spec.start_time.ToMilliseconds(), 0), _DELAY_DAYS_MAX * _DAY_MS,
                self._queued_max, (status or RunStatus()).SerializeToString(), *following,
            )  # fmt: skip
            self._check_created(verdict, request_id)
        fields = to_dict(held[0])
        run = to_run(fields)
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
        return to_run(fields), fields[b"fingerprint"]

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
                run = to_run(fields) if fields else None
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


def _begun_with(begun: Sequence[Event], claim: Claim | None) -> list[bytes]:
    if begun and claim is None:
        raise invalid("begun", "must be empty without a claim: only an owner begins")
    check_kinds("begun", begun)
    kept = [to_kept(event) for event in begun]
    check_size("begun", sum(map(len, kept)), APPEND_BYTES)
    return kept


def _selected(run: Run, state: RunStatus.State.ValueType, session_id: str) -> bool:
    return (not state or run.status.state == state) and (
        not session_id or run.spec.session_id == session_id
    )
