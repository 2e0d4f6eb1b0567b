"""The state service in memory: its contracts in the small, with knobs for what goes wrong."""

import asyncio
import time
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp
from harness.fakes import fault

from pentad.state.v1 import agent_service_pb2 as agents_pb
from pentad.state.v1 import run_service_pb2 as runs_pb
from pentad.state.v1 import session_service_pb2 as sessions_pb
from pentad.state.v1 import trace_service_pb2 as traces_pb
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.agent_service_pb2_grpc import AgentServiceServicer
from pentad.state.v1.event_pb2 import Event, RunResumed
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad.state.v1.run_service_pb2_grpc import RunServiceServicer
from pentad.state.v1.session_service_pb2_grpc import SessionServiceServicer
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceServicer
from pentad_chassis.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    Unavailable,
)

EVENTS_AT_ONCE = 3
"""Fewer than any journal a test seeds, so that every takeover reads one in pieces."""

_ENDED = {RunStatus.STATE_COMPLETED, RunStatus.STATE_FAILED, RunStatus.STATE_CANCELLED}


@dataclass
class StoredRun:
    """A run and all that the store knows of it."""

    run: Run
    request_id: str
    fingerprint: bytes
    events: list[Event] = field(default_factory=list)
    appends: dict[str, list[Event]] = field(default_factory=dict)
    pieces: list[runs_pb.TextPiece] = field(default_factory=list)
    pieces_before_seq: list[int] = field(default_factory=list)
    """For each piece: events in the journal when it came."""
    owner: str = ""
    fence: int = 0
    expires_at: float = 0.0
    cancel_reason: str | None = None
    pause_reason: str | None = None
    resumed: RunResumed | None = None
    """What the next owner is to journal."""
    resumes: set[str] = field(default_factory=set)
    signalled: set[str] = field(default_factory=set)
    """What its owner was told between renewals."""
    inbox: dict[str, Event] = field(default_factory=dict)
    """All that the run was ever told, by the ids of signals."""

    @property
    def kinds(self) -> list[str]:
        return [str(event.WhichOneof("kind")) for event in self.events]

    @property
    def ended(self) -> bool:
        return self.run.status.state in _ENDED

    @property
    def free(self) -> bool:
        expired = not self.owner or time.monotonic() >= self.expires_at
        asked = self.cancel_reason is not None or self.resumed is not None
        return not self.ended and expired and (not self.paused or asked)

    @property
    def paused(self) -> bool:
        return self.run.status.state == RunStatus.STATE_PAUSED


class FakeRuns(RunServiceServicer):
    """The run service: journal, fence, lease; a schedule without order."""

    def __init__(self) -> None:
        self.runs: dict[str, StoredRun] = {}
        self.away = False
        """Everything fails with STORE_UNAVAILABLE."""
        self.refused = 0
        """Calls that failed so."""
        self.lost_answers = 0
        """So many appends take place and fail nevertheless."""
        self.claimable = True
        """Runs that wait are handed out."""
        self.cut_off: str | None = None
        """An owner whose claims and renewals do not get through."""
        self.polls: list[int] = []
        self.released: list[str] = []

    @property
    def only(self) -> StoredRun:
        """The only run there is."""
        (run,) = self.runs.values()
        return run

    async def CreateRun(
        self, request: runs_pb.CreateRunRequest, context: object
    ) -> runs_pb.CreateRunResponse:
        self._check()
        tenant = request.created.tenant
        run_id = f"07-{tenant}-{request.request_id}"
        if stored := self.runs.get(run_id):
            if stored.fingerprint != request.fingerprint:
                raise fault(AlreadyExists, "REQUEST_ID_REUSED")
            return runs_pb.CreateRunResponse(run=stored.run)
        run = Run(run_id=run_id, tenant=tenant, spec=request.created.spec)
        run.status.state = RunStatus.STATE_QUEUED
        stored = self.runs[run_id] = StoredRun(run, request.request_id, request.fingerprint)
        _stamp(stored, Event(run_created=request.created))
        response = runs_pb.CreateRunResponse(run=run, created=True)
        if request.HasField("claim"):
            response.claimed.CopyFrom(_claim(stored, request.claim))
        return response

    async def GetRun(
        self, request: runs_pb.GetRunRequest, context: object
    ) -> runs_pb.GetRunResponse:
        self._check()
        for stored in self.runs.values():
            named = request.request_id == stored.request_id or request.run_id == stored.run.run_id
            if stored.run.tenant == request.tenant and named:
                return runs_pb.GetRunResponse(run=stored.run, fingerprint=stored.fingerprint)
        raise fault(NotFound, "RUN_NOT_FOUND")

    async def ListEvents(
        self, request: runs_pb.ListEventsRequest, context: object
    ) -> runs_pb.ListEventsResponse:
        self._check()
        behind = self.runs[request.run_id].events[request.after_seq :]
        return runs_pb.ListEventsResponse(events=behind[:EVENTS_AT_ONCE])

    async def ClaimRuns(
        self, request: runs_pb.ClaimRunsRequest, context: object
    ) -> runs_pb.ClaimRunsResponse:
        self._check(request.claim.owner)
        self.polls.append(request.limit)
        ends_at = time.monotonic() + request.wait.ToTimedelta().total_seconds()
        while True:
            free = [s for s in self.runs.values() if s.free] if self.claimable else []
            runs = [_claim(stored, request.claim) for stored in free[: request.limit]]
            cancels = self._cancels(request.claim.owner)
            pauses = self._pauses(request.claim.owner)
            if runs or cancels or pauses or time.monotonic() >= ends_at:
                return runs_pb.ClaimRunsResponse(runs=runs, cancels=cancels, pauses=pauses)
            await asyncio.sleep(0.005)
            self._check(request.claim.owner)

    async def RenewLeases(
        self, request: runs_pb.RenewLeasesRequest, context: object
    ) -> runs_pb.RenewLeasesResponse:
        self._check(request.claim.owner)
        lost = []
        for lease in request.leases:
            stored = self.runs[lease.run_id]
            if stored.fence != lease.fence or stored.ended or stored.paused:
                lost.append(lease.run_id)
            else:
                stored.expires_at = _expiry(request.claim)
        return runs_pb.RenewLeasesResponse(lost_run_ids=lost)

    async def ReleaseRuns(
        self, request: runs_pb.ReleaseRunsRequest, context: object
    ) -> runs_pb.ReleaseRunsResponse:
        self._check()
        for lease in request.leases:
            stored = self.runs[lease.run_id]
            if stored.fence == lease.fence and not stored.paused:
                stored.owner = ""
                self.released.append(lease.run_id)
        return runs_pb.ReleaseRunsResponse()

    async def AppendEvents(
        self, request: runs_pb.AppendEventsRequest, context: object
    ) -> runs_pb.AppendEventsResponse:
        self._check()
        stored = self.runs[request.lease.run_id]
        if recorded := stored.appends.get(request.append_id):
            return runs_pb.AppendEventsResponse(events=recorded)
        if request.lease.fence != stored.fence:
            raise fault(Aborted, "STALE_FENCE")
        if request.expected_seq != len(stored.events):
            raise fault(Aborted, "SEQ_CONFLICT")
        recorded = [_stamp(stored, event) for event in request.events]
        stored.appends[request.append_id] = recorded
        stored.run.status.CopyFrom(request.status)
        if any(event.HasField("run_resumed") for event in recorded):
            stored.resumed = None
        if stored.paused:
            stored.owner, stored.pause_reason = "", None
            stored.run.pause_requested = False
        if self.lost_answers:
            self.lost_answers -= 1
            raise fault(Unavailable, "STORE_UNAVAILABLE")
        return runs_pb.AppendEventsResponse(events=recorded)

    async def AppendText(
        self, request: runs_pb.AppendTextRequest, context: object
    ) -> runs_pb.AppendTextResponse:
        self._check()
        for piece in request.pieces:
            stored = self.runs[piece.lease.run_id]
            stored.pieces.append(piece)
            stored.pieces_before_seq.append(len(stored.events))
        return runs_pb.AppendTextResponse()

    async def SignalRun(
        self, request: runs_pb.SignalRunRequest, context: object
    ) -> runs_pb.SignalRunResponse:
        self._check()
        stored = self._found(request.run_id)
        if not stored.ended:
            stored.inbox.setdefault(request.signal_id, request.event)
        return runs_pb.SignalRunResponse(ended=stored.ended)

    async def RequestCancel(
        self, request: runs_pb.RequestCancelRequest, context: object
    ) -> runs_pb.RequestCancelResponse:
        self._check()
        stored = self._found(request.run_id)
        stored.cancel_reason = stored.cancel_reason or request.reason
        stored.run.cancel_requested = not stored.ended
        return runs_pb.RequestCancelResponse(run=stored.run)

    async def RequestPause(
        self, request: runs_pb.RequestPauseRequest, context: object
    ) -> runs_pb.RequestPauseResponse:
        self._check()
        stored = self._found(request.run_id)
        if not stored.ended and not stored.paused:
            stored.pause_reason = stored.pause_reason or request.reason
            stored.run.pause_requested = True
        return runs_pb.RequestPauseResponse(run=stored.run)

    async def ResumeRun(
        self, request: runs_pb.ResumeRunRequest, context: object
    ) -> runs_pb.ResumeRunResponse:
        self._check()
        stored = self._found(request.run_id)
        if request.resume_id not in stored.resumes:
            if not stored.paused:
                raise fault(FailedPrecondition, "RUN_NOT_PAUSED")
            stored.resumes.add(request.resume_id)
            stored.resumed = request.resumed
            stored.run.status.state = RunStatus.STATE_QUEUED
        return runs_pb.ResumeRunResponse(run=stored.run)

    def seed(self, run_id: str, *events: Event) -> StoredRun:
        """Put a run with a journal so far into the schedule, as left by an owner that died."""
        created = events[0].run_created
        run = Run(run_id=run_id, tenant=created.tenant, spec=created.spec)
        stored = self.runs[run_id] = StoredRun(run, request_id=run_id, fingerprint=b"")
        for event in events:
            _stamp(stored, event)
        return stored

    def take_away(self, run_id: str, owner: str = "another") -> None:
        """Hand a run to another owner, as after an expired lease."""
        stored = self.runs[run_id]
        stored.owner = owner
        stored.fence += 1
        stored.expires_at = time.monotonic() + 60

    def _check(self, owner: str = "") -> None:
        if self.away or owner == self.cut_off:
            self.refused += 1
            raise fault(Unavailable, "STORE_UNAVAILABLE")

    def _found(self, run_id: str) -> StoredRun:
        if run_id not in self.runs:
            raise fault(NotFound, "RUN_NOT_FOUND")
        return self.runs[run_id]

    def _cancels(self, owner: str) -> list[runs_pb.CancelSignal]:
        return [
            runs_pb.CancelSignal(run_id=stored.run.run_id, reason=stored.cancel_reason or "")
            for stored in self._to_signal(owner, "cancel")
        ]

    def _pauses(self, owner: str) -> list[runs_pb.PauseSignal]:
        return [
            runs_pb.PauseSignal(run_id=stored.run.run_id, reason=stored.pause_reason or "")
            for stored in self._to_signal(owner, "pause")
        ]

    def _to_signal(self, owner: str, what: str) -> list[StoredRun]:
        """Return the owner's runs of which something is asked, each once."""
        asked = [
            stored
            for stored in self.runs.values()
            if stored.owner == owner
            and getattr(stored, f"{what}_reason") is not None
            and what not in stored.signalled
        ]
        for stored in asked:
            stored.signalled.add(what)
        return asked


def _stamp(stored: StoredRun, event: Event) -> Event:
    recorded = Event(run_id=stored.run.run_id, seq=len(stored.events) + 1)
    recorded.MergeFrom(event)
    now = Timestamp()
    now.GetCurrentTime()
    recorded.time.CopyFrom(now)
    stored.events.append(recorded)
    stored.run.last_seq = recorded.seq
    return recorded


def _claim(stored: StoredRun, claim: runs_pb.Claim) -> runs_pb.ClaimedRun:
    lost = bool(stored.owner)
    stored.fence += 1
    stored.owner = claim.owner
    stored.expires_at = _expiry(claim)
    stored.signalled.clear()
    return runs_pb.ClaimedRun(
        lease=runs_pb.Lease(run_id=stored.run.run_id, fence=stored.fence),
        events=stored.events[:EVENTS_AT_ONCE],
        last_seq=len(stored.events),
        cancel_requested=stored.cancel_reason is not None,
        cancel_reason=stored.cancel_reason or "",
        owner_lost=lost,
        pause_requested=stored.pause_reason is not None,
        pause_reason=stored.pause_reason or "",
        resumed=stored.resumed,
    )


def _expiry(claim: runs_pb.Claim) -> float:
    return time.monotonic() + claim.lease.ToTimedelta().total_seconds()


class FakeSessions(SessionServiceServicer):
    """Conversations, appended to once an append id."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Message]] = {}
        self.appended: set[str] = set()
        self.windows: list[sessions_pb.GetWindowRequest] = []
        self.entered: list[sessions_pb.EnterSessionRequest] = []
        self.left: list[str] = []

    async def AppendMessages(
        self, request: sessions_pb.AppendMessagesRequest, context: object
    ) -> sessions_pb.AppendMessagesResponse:
        if request.append_id not in self.appended:
            self.appended.add(request.append_id)
            self.messages.setdefault(request.session_id, []).extend(request.messages)
        if request.leave_run_id:
            self.left.append(request.leave_run_id)
        return sessions_pb.AppendMessagesResponse()

    async def EnterSession(
        self, request: sessions_pb.EnterSessionRequest, context: object
    ) -> sessions_pb.EnterSessionResponse:
        self.entered.append(request)
        held = self.messages.get(request.session_id, [])
        last_seq = request.last_seq or len(held)
        return sessions_pb.EnterSessionResponse(messages=held[:last_seq], last_seq=last_seq)

    async def LeaveSession(
        self, request: sessions_pb.LeaveSessionRequest, context: object
    ) -> sessions_pb.LeaveSessionResponse:
        self.left.append(request.run_id)
        return sessions_pb.LeaveSessionResponse()

    async def GetWindow(
        self, request: sessions_pb.GetWindowRequest, context: object
    ) -> sessions_pb.GetWindowResponse:
        self.windows.append(request)
        held = self.messages.get(request.session_id, [])
        last_seq = request.last_seq or len(held)
        return sessions_pb.GetWindowResponse(messages=held[:last_seq], last_seq=last_seq)


class FakeAgents(AgentServiceServicer):
    """Agents by name; one tenant."""

    def __init__(self, *agents: Agent) -> None:
        self.agents = {agent.name: agent for agent in agents}
        self.reads: list[str] = []

    async def GetAgent(
        self, request: agents_pb.GetAgentRequest, context: object
    ) -> agents_pb.GetAgentResponse:
        self.reads.append(request.name)
        if request.name not in self.agents:
            raise fault(NotFound, "AGENT_NOT_FOUND")
        return agents_pb.GetAgentResponse(agent=self.agents[request.name])

    async def ListAgents(
        self, request: agents_pb.ListAgentsRequest, context: object
    ) -> agents_pb.ListAgentsResponse:
        found = [a for a in self.agents.values() if request.capability in a.capabilities]
        return agents_pb.ListAgentsResponse(agents=sorted(found, key=lambda agent: agent.name))


class FakeTraces(TraceServiceServicer):
    """Spans that services recorded."""

    def __init__(self) -> None:
        self.spans: list[traces_pb.Span] = []

    async def RecordSpans(
        self, request: traces_pb.RecordSpansRequest, context: object
    ) -> traces_pb.RecordSpansResponse:
        self.spans += request.spans
        return traces_pb.RecordSpansResponse()
