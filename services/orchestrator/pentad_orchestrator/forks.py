"""Forking runs: what another one was up to a place, as a run of its own."""

from hashlib import blake2b
from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event, Fork, RunCreated, RunForked
from pentad.state.v1.run_pb2 import Run as Seen
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import ForkRunRequest, GetRunRequest, ListEventsRequest
from pentad.state.v1.session_service_pb2 import ForkSessionRequest, GetSessionRequest
from pentad_chassis.errors import NotFound
from pentad_chassis.telemetry import current_traceparent
from pentad_orchestrator import outside, plan
from pentad_orchestrator.errors import (
    EventNotFound,
    ForkAtEnd,
    RequestIdReused,
    RequestInvalid,
    RunNotFound,
    SessionAlreadyExists,
)
from pentad_orchestrator.run import Run

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from pentad.state.v1.session_service_pb2_grpc import SessionServiceAsyncStub

_ENDED = frozenset({RunStatus.STATE_COMPLETED, RunStatus.STATE_FAILED, RunStatus.STATE_CANCELLED})


class Forks:
    """Records forks; whoever claims one goes on with it."""

    def __init__(self, runs: "RunServiceAsyncStub", sessions: "SessionServiceAsyncStub") -> None:
        self._runs = runs
        self._sessions = sessions

    async def fork_run(
        self, tenant: str, run_id: str, at_seq: int, request_id: str, session_id: str
    ) -> Seen:
        """Record a run that begins with another one's events; a repeat returns the first one.

        Its session is forked before; a repeat after a crash in between finds that done.
        """
        wish = _fingerprint(tenant, run_id, at_seq, session_id)
        known = await self._known(tenant, request_id, wish)
        if known is not None:
            return known
        source = (await self._runs.GetRun(GetRunRequest(tenant=tenant, run_id=run_id))).run
        _check(source, at_seq, session_id)
        run = await self._folded(source, at_seq)
        if session_id:
            await self._fork_session(run, request_id, session_id)
        created = RunCreated()
        created.CopyFrom(run.created)
        created.ClearField("parent")  # what it is a fork of answers for both
        created.spec.session_id = session_id
        created.traceparent = current_traceparent()
        created.forked_from.CopyFrom(Fork(run_id=run_id, seq=at_seq))
        response = await self._runs.ForkRun(
            ForkRunRequest(
                request_id=request_id, fingerprint=wish, created=created, status=_status(run)
            )
        )
        return response.run

    async def _known(self, tenant: str, request_id: str, wish: bytes) -> Seen | None:
        try:
            found = await self._runs.GetRun(GetRunRequest(tenant=tenant, request_id=request_id))
        except NotFound:
            return None
        if found.fingerprint != wish:
            raise RequestIdReused(request_id)
        return found.run

    async def _folded(self, source: Seen, at_seq: int) -> Run:
        """Return the other run as it was at the place, read in pieces."""
        run: Run | None = None
        while run is None or run.last_seq < at_seq:
            after_seq = 0 if run is None else run.last_seq
            request = ListEventsRequest(run_id=source.run_id, after_seq=after_seq)
            events = (await self._runs.ListEvents(request)).events[: at_seq - after_seq]
            if not events:
                raise RunNotFound(source.run_id)
            for event in events:
                run = plan.begin(event) if run is None else plan.evolve(run, event)
        return run

    async def _fork_session(self, run: Run, request_id: str, session_id: str) -> None:
        """Have the fork see what the other run saw of its session, in a session of its own."""
        tenant, old = run.created.tenant, run.created.spec.session_id
        seq = run.session_seq
        if not outside.has_begun(run):
            seq = await self._last_seq(tenant, old)
        if seq:
            await self._sessions.ForkSession(
                ForkSessionRequest(
                    tenant=tenant,
                    session_id=old,
                    at_seq=seq,
                    new_session_id=session_id,
                    fork_id=request_id,
                )
            )
        elif await self._last_seq(tenant, session_id):
            raise SessionAlreadyExists(session_id)

    async def _last_seq(self, tenant: str, session_id: str) -> int:
        request = GetSessionRequest(tenant=tenant, session_id=session_id)
        try:
            return (await self._sessions.GetSession(request)).session.last_seq
        except NotFound:
            return 0


def _check(source: Seen, at_seq: int, session_id: str) -> None:
    """Refuse a fork that cannot be."""
    if source.status.state in _ENDED and at_seq >= source.last_seq:
        raise ForkAtEnd(source.run_id, at_seq, source.last_seq)
    if at_seq > source.last_seq:
        raise EventNotFound(source.run_id, at_seq, source.last_seq)
    if source.spec.session_id and not session_id:
        raise RequestInvalid("session_id", "must be set: the run has a session, its fork needs one")
    if session_id and not source.spec.session_id:
        raise RequestInvalid("session_id", "must be empty: the run has no session")


def _status(run: Run) -> RunStatus:
    """Return where the fork stands before anybody works on it."""
    forked = Event(run_forked=RunForked())
    status = plan.status(plan.evolve(run, forked))
    status.state = RunStatus.STATE_QUEUED
    return status


def _fingerprint(tenant: str, run_id: str, at_seq: int, session_id: str) -> bytes:
    """Return a digest of what a caller asks for; no digest of a spec is made of the same."""
    digest = blake2b(digest_size=32)
    for part in ("fork", tenant, run_id, str(at_seq), session_id):
        digest.update(f"{len(part)}:{part}".encode())
    return digest.digest()
