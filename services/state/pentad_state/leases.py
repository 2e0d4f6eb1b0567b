"""Leases: who may work on which run, until when. The store's clock decides."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import NamedTuple

from pentad.state.v1.event_pb2 import RunResumed
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import (
    CancelSignal,
    Claim,
    ClaimedRun,
    Lease,
    PauseSignal,
    RunSignals,
)
from pentad_state.bounds import check_count, check_name, to_ms
from pentad_state.errors import StoreUnavailable
from pentad_state.inbox import SIGNAL_BYTES, to_signals
from pentad_state.journal import from_kept
from pentad_state.pages import STAMP
from pentad_state.partitions import RUN_ID_CHARS, key, partition_of_run
from pentad_state.parts import answers
from pentad_state.store import Reply, Store, Value, script
from pentad_state.turns import Candidate

_RUNNING = str(RunStatus.STATE_RUNNING).encode()
LEASE_S_MAX = 600.0
_LEASES_MAX = 1000
JOURNAL_EVENTS = 1000
JOURNAL_BYTES = 1024 * 1024
"""Of a journal, in one answer; the owner of a longer one lists the rest."""

_SIGNALS_BYTES = 4 * 1024 * 1024
"""Of what runs were told, in one answer."""

_SCHEDULE = ("ready", "leases", "due", "turns", "ended", "wakes")

_LISTED = STAMP + RUN_ID_CHARS
"""Length of what a tenant's list holds of a run: a time and an id."""


@dataclass(frozen=True, slots=True)
class View:
    """What one partition's schedule holds."""

    candidates: list[Candidate]
    """What may be claimed now."""
    due_s: float | None
    """Until the next of its runs that wait for a time may go on; None when none waits so."""


class Asked(NamedTuple):
    """What an owner is to do with runs that it holds."""

    cancels: list[CancelSignal]
    pauses: list[PauseSignal]
    signals: list[RunSignals]


class _Wish(NamedTuple):
    """What there is to say of a run to its owner."""

    run_id: str
    cancel: bytes | None
    pause: bytes | None
    unheard: int


class Renewed(NamedTuple):
    """What became of leases that were to be renewed."""

    lost: list[str]
    """Runs that are another owner's, or have ended."""
    asked: Asked
    unreached: list[str]
    """Runs kept where nobody answered."""


class Leases:
    """Every method is one atomic step of the store for each run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def peek(self, partitions: Iterable[int], limit: int) -> dict[int, View]:
        """Return what each partition's schedule holds, at most `limit` candidates of either kind.

        Partitions that cannot be reached are left out. Runs whose retention is over leave their
        tenants' lists on this occasion.
        """
        return await answers({p: self._peek(p, limit) for p in partitions})

    async def claim(self, candidate: Candidate, claim: Claim) -> ClaimedRun | None:
        """Hand a run to an owner, or nothing when it is not to be had."""
        run_id = candidate.run_id
        p = partition_of_run(run_id)
        verdict, *rest = await self._store.run(
            script("run_claim"),
            [
                key(p, "run", run_id), key(p, "journal", run_id), key(p, "ready"),
                key(p, "leases"), key(p, "inbox", run_id),
            ],
            run_id, candidate.place, claim.owner, lease_ms(claim), JOURNAL_EVENTS, JOURNAL_BYTES,
            SIGNAL_BYTES,
        )  # fmt: skip
        if verdict != b"CLAIMED":
            return None
        fence, seq, lost, cancel, pause, resumed, heard, told, kept = rest
        return ClaimedRun(
            lease=Lease(run_id=run_id, fence=fence),
            events=[from_kept(run_id, i, event) for i, event in enumerate(kept, 1)],
            last_seq=seq,
            owner_lost=bool(lost),
            cancel_requested=cancel is not None,
            cancel_reason=(cancel or b"").decode(),
            pause_requested=pause is not None,
            pause_reason=(pause or b"").decode(),
            resumed=None if resumed is None else RunResumed.FromString(resumed),
            signals=to_signals(run_id, heard, told),
        )

    async def renew(self, claim: Claim, leases: Sequence[Lease]) -> Renewed:
        """Extend leases; return the runs that are lost, and what is to be done with the others."""
        check_name("claim.owner", claim.owner)
        check_count("leases", len(leases), _LEASES_MAX)
        ms = lease_ms(claim)
        groups = _by_partition(leases)
        renew = script("run_renew")
        replies = await answers(
            {
                p: self._store.run(renew, [key(p, "leases"), *_runs(p, group)], ms, *_pairs(group))
                for p, group in groups
            }
        )
        lost: list[str] = []
        unreached: list[str] = []
        wishes: list[_Wish] = []
        for partition, group in groups:
            if partition not in replies:
                unreached += (lease.run_id for lease in group)
                continue
            for lease, (verdict, *wish) in zip(group, replies[partition], strict=True):
                if verdict == b"LOST":
                    lost.append(lease.run_id)
                else:
                    wishes.append(_Wish(lease.run_id, *wish))
        return Renewed(lost, await self._asked(wishes), unreached)

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give runs back to the schedule; those that are not held any more stay as they are."""
        check_count("leases", len(leases), _LEASES_MAX)
        await asyncio.gather(
            *(
                self._store.run(
                    script("run_release"),
                    [key(p, "ready"), key(p, "leases"), *_runs(p, group)],
                    *_pairs(group),
                )
                for p, group in _by_partition(leases)
            )
        )

    async def asked(self, owner: str, run_ids: Sequence[str]) -> Asked:
        """Return what is to be done with those of the runs that the owner holds.

        Of what cannot be reached it hears with its next renewal.
        """
        try:
            replies = await answers({run_id: self._wishes(run_id) for run_id in run_ids})
        except StoreUnavailable:
            replies = {}
        return await self._asked(
            _Wish(run_id, cancel, pause, int(told or 0) - int(heard or 0))
            for run_id, (state, holder, cancel, pause, told, heard) in replies.items()
            if state == _RUNNING and holder == owner.encode()
        )

    async def _wishes(self, run_id: str) -> Reply:
        run = key(partition_of_run(run_id), "run", run_id)
        return await self._store.call(
            "HMGET", run, "state", "owner", "cancel", "pause", "told", "heard"
        )

    async def _asked(self, wishes: Iterable["_Wish"]) -> Asked:
        asked = Asked([], [], [])
        told: list[str] = []
        for run_id, cancel, pause, unheard in wishes:
            if cancel is not None:
                asked.cancels.append(CancelSignal(run_id=run_id, reason=cancel.decode()))
            if pause is not None:
                asked.pauses.append(PauseSignal(run_id=run_id, reason=pause.decode()))
            if unheard > 0:
                told.append(run_id)
        return Asked(asked.cancels, asked.pauses, await self._inboxes(told) if told else [])

    async def _inboxes(self, run_ids: Sequence[str]) -> list[RunSignals]:
        """Return what runs were told, as much as fits into a message; the rest comes later."""
        found: list[RunSignals] = []
        size = 0
        for run_id in run_ids:
            p = partition_of_run(run_id)
            try:
                heard, kept = await self._store.run(
                    script("run_inbox"),
                    [key(p, "run", run_id), key(p, "inbox", run_id)],
                    JOURNAL_EVENTS, SIGNAL_BYTES,
                )  # fmt: skip
            except StoreUnavailable:
                continue
            signals = to_signals(run_id, heard, kept)
            if signals is not None:
                found.append(signals)
                size += signals.ByteSize()
            if size >= _SIGNALS_BYTES:
                break
        return found

    async def _peek(self, partition: int, limit: int) -> View:
        keys = [key(partition, kind) for kind in _SCHEDULE]
        expired, ready, next_ms, over = await self._store.run(script("run_peek"), keys, limit)
        if over:
            await self._forget(partition, over)
        return View(
            candidates=[
                *starmap(Candidate.expired, zip(expired[::2], expired[1::2], strict=True)),
                *starmap(Candidate.waiting, zip(ready[::2], ready[1::2], strict=True)),
            ],
            due_s=None if next_ms is None else next_ms / 1000,
        )

    async def _forget(self, partition: int, over: Sequence[bytes]) -> None:
        """Take runs that are gone out of their tenants' lists, and then out of the list of those.

        In this order, so that nothing stays behind when this is the last that we do.
        """
        members: defaultdict[str, list[bytes]] = defaultdict(list)
        for member in over:
            members[member[_LISTED:].decode()].append(member[:_LISTED])
        await asyncio.gather(
            *(
                self._store.call("ZREM", key(partition, "runs", tenant), *gone)
                for tenant, gone in members.items()
            )
        )
        await self._store.call("ZREM", key(partition, "ended"), *over)


def lease_ms(claim: Claim) -> int:
    """Return how long a claim lasts, within its bounds."""
    return to_ms("claim.lease", claim.lease, LEASE_S_MAX)


def _by_partition(leases: Sequence[Lease]) -> list[tuple[int, list[Lease]]]:
    groups: defaultdict[int, list[Lease]] = defaultdict(list)
    for lease in leases:
        groups[partition_of_run(lease.run_id)].append(lease)
    return list(groups.items())


def _runs(partition: int, leases: Iterable[Lease]) -> list[str]:
    return [key(partition, "run", lease.run_id) for lease in leases]


def _pairs(leases: Iterable[Lease]) -> list[Value]:
    return [value for lease in leases for value in (lease.run_id, lease.fence)]
