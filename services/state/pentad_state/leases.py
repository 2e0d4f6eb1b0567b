"""Leases: who may work on which run, until when. The store's clock decides."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import CancelSignal, Claim, ClaimedRun, Lease
from pentad_state.bounds import check_count, check_name, to_ms
from pentad_state.journal import from_kept
from pentad_state.partitions import key, partition_of_run
from pentad_state.store import Store, Value, script

_RUNNING = str(RunStatus.STATE_RUNNING).encode()
LEASE_S_MAX = 600.0
_LEASES_MAX = 1000
JOURNAL_EVENTS = 1000
JOURNAL_BYTES = 1024 * 1024
"""Of a journal, in one answer; the owner of a longer one lists the rest."""


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A run that may be claimed; the order is that in which they are to be."""

    waits: bool
    """False when its lease has expired: those come first, for somebody began them."""
    since_ms: float
    run_id: str


class Leases:
    """Every method is one atomic step of the store for each run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def peek(self, partitions: Iterable[int], limit: int) -> list[list[Candidate]]:
        """Return what may be claimed in each partition, at most `limit` of either kind."""
        replies = await asyncio.gather(
            *(
                self._store.run(script("run_peek"), [key(p, "ready"), key(p, "leases")], limit)
                for p in partitions
            )
        )
        return [
            [
                Candidate(waits, float(since), run_id.decode())
                for waits, flat in ((False, expired), (True, ready))
                for run_id, since in zip(flat[::2], flat[1::2], strict=True)
            ]
            for expired, ready in replies
        ]

    async def claim(self, run_id: str, claim: Claim) -> ClaimedRun | None:
        """Hand a run to an owner, or nothing when it is not to be had."""
        p = partition_of_run(run_id)
        verdict, *rest = await self._store.run(
            script("run_claim"),
             [
                key(p, "run", run_id), key(p, "journal", run_id), key(p, "ready"),
                key(p, "leases"),
            ],
            run_id, claim.owner, lease_ms(claim), JOURNAL_EVENTS, JOURNAL_BYTES,
        )  # fmt: skip
        if verdict != b"CLAIMED":
            return None
        fence, seq, cancel, kept = rest
        return ClaimedRun(
            lease=Lease(run_id=run_id, fence=fence),
            events=[from_kept(run_id, i, event) for i, event in enumerate(kept, 1)],
            last_seq=seq,
            cancel_requested=cancel is not None,
            cancel_reason=(cancel or b"").decode(),
        )

    async def renew(
        self, claim: Claim, leases: Sequence[Lease]
    ) -> tuple[list[str], list[CancelSignal]]:
        """Extend leases; return the runs that are lost and those that are to be cancelled."""
        check_name("claim.owner", claim.owner)
        check_count("leases", len(leases), _LEASES_MAX)
        ms = lease_ms(claim)
        groups = _by_partition(leases)
        replies = await asyncio.gather(
            *(
                self._store.run(
                    script("run_renew"), [key(p, "leases"), *_runs(p, group)], ms, *_pairs(group)
                )
                for p, group in groups
            )
        )
        lost: list[str] = []
        cancels: list[CancelSignal] = []
        for (_, group), verdicts in zip(groups, replies, strict=True):
            for lease, (verdict, *cancel) in zip(group, verdicts, strict=True):
                if verdict == b"LOST":
                    lost.append(lease.run_id)
                elif cancel and cancel[0] is not None:
                    cancels.append(CancelSignal(run_id=lease.run_id, reason=cancel[0].decode()))
        return lost, cancels

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

    async def cancels(self, owner: str, run_ids: Sequence[str]) -> list[CancelSignal]:
        """Return signals for those of the owner's runs that are to be cancelled."""
        replies = await asyncio.gather(
            *(
                self._store.call(
                    "HMGET", key(partition_of_run(r), "run", r), "state", "owner", "cancel"
                )
                for r in run_ids
            )
        )
        return [
            CancelSignal(run_id=run_id, reason=cancel.decode())
            for run_id, (state, holder, cancel) in zip(run_ids, replies, strict=True)
            if state == _RUNNING and holder == owner.encode() and cancel is not None
        ]


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
