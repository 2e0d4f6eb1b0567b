"""Slots: which run is at a session, and which others are in line."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pentad.state.v1.event_pb2 import RunCreated
from pentad.state.v1.run_pb2 import SessionPolicy
from pentad.state.v1.session_pb2 import Session
from pentad_chassis.errors import ServiceError, Unavailable
from pentad_state.errors import SessionBusy, SessionQueueFull
from pentad_state.jobs import job_keys
from pentad_state.orders import SLOT_MS, check_names, orders, slot_keys
from pentad_state.partitions import key, partition_of, partition_of_run
from pentad_state.projection import ENDED
from pentad_state.sessions import to_session
from pentad_state.store import Reply, Store, script, to_dict

LINE_MAX = 100
_WANTS_WAY = frozenset({
    SessionPolicy.SESSION_POLICY_INTERRUPT, SessionPolicy.SESSION_POLICY_ROLL_BACK,
})  # fmt: skip
_RECORDED_MS = 60_000
"""A run that is not there this long after it entered never will be."""

_PASSED_MAX = 8
"""Runs that one call passes over; whoever waits looks again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands with its session."""

    time_ms: int = field(compare=False)
    """When the store looked."""

    active_run_id: str = ""
    """Who is active; empty if it is the run itself."""

    interrupted: tuple[str, ...] = ()
    """Runs that gave way, whose work is not appended yet."""

    session: Session | None = None
    """As it is when the run enters; None if it has not begun."""


class Slots:
    """Every method is one atomic step of the store for each run that is passed over."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def enter(
        self, tenant: str, session_id: str, run_id: str, policy: SessionPolicy.ValueType
    ) -> Standing:
        """Make a run the active one, or have it line up."""
        check_names(tenant, session_id, run_id)
        if policy in {
            SessionPolicy.SESSION_POLICY_UNSPECIFIED,
            SessionPolicy.SESSION_POLICY_REJECT,
        }:
            policy = SessionPolicy.SESSION_POLICY_ENQUEUE
        return await self._enter(tenant, session_id, run_id, policy)

    async def leave(self, tenant: str, session_id: str, run_id: str) -> None:
        """Take a run out of its session or the line, and let the next one in."""
        check_names(tenant, session_id, run_id)
        p = partition_of(tenant, session_id)
        await self._store.run(
            script("session_leave"),
            [*slot_keys(tenant, session_id), *job_keys(p)],
            run_id, *orders(tenant, p),
        )  # fmt: skip

    @asynccontextmanager
    async def admitting(self, created: RunCreated, run_id: str) -> AsyncIterator[None]:
        """Have a run that is to be rejected by a busy session at it before it is recorded.

        One whose recording is refused leaves again; one of which that is not known is passed over
        if it is not there.
        """
        spec = created.spec
        rejects = spec.session_policy == SessionPolicy.SESSION_POLICY_REJECT and spec.session_id
        if not rejects or await self._state(run_id) is not None:
            yield
            return
        await self._enter(created.tenant, spec.session_id, run_id, spec.session_policy)
        try:
            yield
        except ServiceError as refused:
            if not isinstance(refused, Unavailable):
                await self.leave(created.tenant, spec.session_id, run_id)
            raise

    async def _enter(
        self, tenant: str, session_id: str, run_id: str, policy: SessionPolicy.ValueType
    ) -> Standing:
        p = partition_of(tenant, session_id)
        keys = [
            key(p, "session", tenant, session_id), *slot_keys(tenant, session_id), *job_keys(p),
        ]  # fmt: skip
        for passed in range(_PASSED_MAX + 1):
            verdict, ms, *rest = await self._store.run(
                script("session_enter"), keys, run_id, policy, LINE_MAX, SLOT_MS,
                *orders(tenant, p),
            )  # fmt: skip
            if verdict == b"ENTERED":
                return _entered(int(ms), *rest)
            active, age_ms = rest[0].decode(), int(rest[1])
            if passed == _PASSED_MAX or not await self._is_over(active, age_ms):
                break
            await self.leave(tenant, session_id, active)
        match verdict:
            case b"BUSY":
                raise SessionBusy(session_id, active)
            case b"FULL":
                raise SessionQueueFull(session_id, LINE_MAX)
        return Standing(time_ms=int(ms), active_run_id=active)

    async def _is_over(self, run_id: str, age_ms: int) -> bool:
        """Whether an active run will never leave by itself: it has ended, or was never recorded."""
        state = await self._state(run_id)
        return age_ms > _RECORDED_MS if state is None else int(state) in ENDED

    async def _state(self, run_id: str) -> Reply:
        run = key(partition_of_run(run_id), "run", run_id)
        return await self._store.call("HGET", run, "state", lasting=True)


def _entered(ms: int, interrupted: bytes, session: Sequence[bytes]) -> Standing:
    return Standing(
        time_ms=ms,
        interrupted=tuple(interrupted.decode().split()),
        session=to_session(to_dict(session)) if session else None,
    )
