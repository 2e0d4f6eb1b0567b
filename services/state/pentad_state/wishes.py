"""What others want of a run: that it rests, goes on or ends, and what they tell it."""

from pentad.state.v1.approval_pb2 import Decision
from pentad.state.v1.event_pb2 import Event, RunResumed
from pentad.state.v1.run_pb2 import Run
from pentad_state.book import book_keys
from pentad_state.bounds import APPEND_BYTES, KIB, check_count, check_name, check_size
from pentad_state.doubts import SETTLEMENTS_MAX, doubt, unsettled
from pentad_state.errors import InboxFull, RunNotFound, RunNotPaused
from pentad_state.inbox import SIGNAL_BYTES, UNHEARD_MAX
from pentad_state.journal import check_kinds, tag_of, to_kept
from pentad_state.partitions import key, partition_of_run
from pentad_state.projection import to_run
from pentad_state.store import Store, script, to_dict

_REASON_BYTES = KIB


class Wishes:
    """Every method is one atomic step of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def request_cancel(self, tenant: str, run_id: str, reason: str) -> Run:
        """Record that a run is to end, and return it as it stands."""
        check_size("reason", len(reason.encode()), _REASON_BYTES)
        p = partition_of_run(run_id)
        verdict, *held = await self._store.run(
            script("run_cancel"),
            [key(p, "run", run_id), key(p, "ready"), key(p, "due"), key(p, "wakes")],
            run_id, tenant, reason,
        )  # fmt: skip
        if verdict == b"GONE":
            raise RunNotFound(run_id)
        return to_run(to_dict(held[0]))

    async def request_pause(self, tenant: str, run_id: str, reason: str) -> Run:
        """Record that a run is to rest, and return it as it stands."""
        check_size("reason", len(reason.encode()), _REASON_BYTES)
        p = partition_of_run(run_id)
        verdict, *held = await self._store.run(
            script("run_pause"),
            [key(p, "run", run_id), key(p, "ready"), key(p, "due"), key(p, "wakes")],
            run_id, tenant, reason,
        )  # fmt: skip
        if verdict == b"GONE":
            raise RunNotFound(run_id)
        return to_run(to_dict(held[0]))

    async def resume(self, tenant: str, run_id: str, resume_id: str, resumed: RunResumed) -> Run:
        """Let a run go on that rests or is asked to, and return it as it stands."""
        check_name("resume_id", resume_id)
        check_count("resumed.settlements", len(resumed.settlements), SETTLEMENTS_MAX)
        kept = resumed.SerializeToString()
        check_size("resumed", len(kept), APPEND_BYTES)
        decision = Decision(
            verdict=Decision.VERDICT_APPROVED,
            comment=resumed.reason,
            settlements=resumed.settlements,
        )
        p = partition_of_run(run_id)
        approvals, _, pending, _ = book_keys(p, run_id)
        verdict, *held = await self._store.run(
            script("run_resume"),
            [
                key(p, "run", run_id), key(p, "ready"), key(p, "due"), key(p, "turns"),
                approvals, pending,
            ],
            run_id, tenant, tag_of(resume_id), kept, decision.SerializeToString(),
            *map(doubt, resumed.settlements),
        )  # fmt: skip
        match verdict:
            case b"GONE":
                raise RunNotFound(run_id)
            case b"AWAKE":
                raise RunNotPaused(run_id)
        run = to_run(to_dict(held[0]))
        if verdict == b"UNSETTLED":
            effects = run.status.pause.unknown_effects
            raise unsettled(run_id, effects, resumed, "resumed.settlements")
        return run

    async def signal(self, tenant: str, run_id: str, signal_id: str, event: Event) -> bool:
        """Tell a run something, once; return whether it had ended already."""
        check_name("signal_id", signal_id)
        check_kinds("event", [event])
        kept = to_kept(event)
        check_size("event", len(kept), SIGNAL_BYTES)
        p = partition_of_run(run_id)
        verdict = await self._store.run(
            script("run_signal"),
            [
                key(p, "run", run_id), key(p, "inbox", run_id), key(p, "told", run_id),
                key(p, "ready"), key(p, "wakes"),
            ],
            run_id, tenant, tag_of(signal_id), kept, UNHEARD_MAX,
        )  # fmt: skip
        match verdict:
            case b"GONE":
                raise RunNotFound(run_id)
            case b"FULL":
                raise InboxFull(run_id, UNHEARD_MAX)
        return bool(verdict == b"ENDED")
