"""Sessions as the state service keeps them, in memory: one run of each is active at a time."""

from collections import defaultdict
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp
from simulation.jobs import Jobs
from simulation.store import Runs
from simulation.watch import Watch

from pentad.state.v1 import session_service_pb2 as pb
from pentad.state.v1.event_pb2 import Event, SessionEntered
from pentad.state.v1.job_pb2 import QUEUE_RUNS, CancelRun, Job, SignalRun
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import SessionPolicy
from pentad.state.v1.session_service_pb2_grpc import SessionServiceServicer
from pentad_chassis.clock import SystemClock

ENQUEUE, INTERRUPT, ROLL_BACK = (
    SessionPolicy.SESSION_POLICY_ENQUEUE,
    SessionPolicy.SESSION_POLICY_INTERRUPT,
    SessionPolicy.SESSION_POLICY_ROLL_BACK,
)
_WANT_WAY = {INTERRUPT, ROLL_BACK}


@dataclass(slots=True)
class Slot:
    """Who is at a session, who waits, and who gave way."""

    active: str = ""
    fate: int = 0
    line: list[tuple[int, str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


class Sessions(SessionServiceServicer):
    """The session service; whatever stands between two awaits is one atomic step."""

    def __init__(self, runs: Runs, jobs: Jobs, watch: Watch) -> None:
        self.messages: dict[str, list[Message]] = {}
        self.void: set[str] = set()
        """Runs whose answers came after they were rolled back."""
        self._runs = runs
        self._jobs = jobs
        self._watch = watch
        self._clock = SystemClock()
        self._slots: defaultdict[str, Slot] = defaultdict(Slot)
        self._appended: set[tuple[str, str]] = set()

    async def AppendMessages(
        self, request: pb.AppendMessagesRequest, context: object
    ) -> pb.AppendMessagesResponse:
        slot, leaves = self._slots[request.session_id], request.leave_run_id
        name = (request.session_id, request.append_id)
        if name not in self._appended:
            self._appended.add(name)
            if leaves and slot.active != leaves:
                self._watch.violated(f"{leaves} adds to a session that {slot.active!r} is at")
            if leaves and slot.fate == ROLL_BACK:
                self.void.add(leaves)
            else:
                self.messages.setdefault(request.session_id, []).extend(request.messages)
        slot.kept = [run_id for run_id in slot.kept if run_id != request.append_id]
        if leaves:
            self._leave(request.tenant, slot, leaves, answered=True)
        return pb.AppendMessagesResponse()

    async def EnterSession(
        self, request: pb.EnterSessionRequest, context: object
    ) -> pb.EnterSessionResponse:
        slot, run_id = self._slots[request.session_id], request.run_id
        if slot.active and slot.active != run_id and self._runs.stored[slot.active].ended:
            self._leave(request.tenant, slot, slot.active, answered=False)
        response = pb.EnterSessionResponse(time=self._now())
        if slot.active not in {"", run_id}:
            self._line_up(request, slot)
            response.active_run_id = slot.active
            return response
        slot.active = run_id
        self._watch.note(f"{run_id} entered {request.session_id}")
        response.interrupted_run_ids.extend(slot.kept)
        self._show(request, response)
        return response

    async def LeaveSession(
        self, request: pb.LeaveSessionRequest, context: object
    ) -> pb.LeaveSessionResponse:
        slot = self._slots[request.session_id]
        self._leave(request.tenant, slot, request.run_id, answered=False)
        return pb.LeaveSessionResponse()

    async def GetWindow(
        self, request: pb.GetWindowRequest, context: object
    ) -> pb.GetWindowResponse:
        response = pb.GetWindowResponse()
        self._show(request, response)
        return response

    def _line_up(self, request: pb.EnterSessionRequest, slot: Slot) -> None:
        if any(other == request.run_id for _, other in slot.line):
            return
        policy = request.policy if request.policy in _WANT_WAY else ENQUEUE
        ahead = [each for each in slot.line if policy == ENQUEUE or each[0] in _WANT_WAY]
        slot.line.insert(len(ahead), (policy, request.run_id))
        self._watch.note(f"{request.run_id} waits for {slot.active}")
        self._clear(request.tenant, slot)

    def _clear(self, tenant: str, slot: Slot) -> None:
        if slot.line and slot.line[0][0] in _WANT_WAY and not slot.fate:
            slot.fate, by = slot.line[0]
            job = Job(job_id=f"session/cancel/{slot.active}", tenant=tenant, queue=QUEUE_RUNS)
            reason = f"interrupted by run {by}"
            job.cancel_run.CopyFrom(CancelRun(run_id=slot.active, reason=reason))
            self._jobs.put(job)

    def _leave(self, tenant: str, slot: Slot, run_id: str, *, answered: bool) -> None:
        if slot.active != run_id:
            slot.line = [each for each in slot.line if each[1] != run_id]
            return
        if slot.fate == INTERRUPT and not answered:
            slot.kept.append(run_id)
        slot.active, slot.fate = "", 0
        if slot.line:
            _, slot.active = slot.line.pop(0)
            told = SignalRun(
                run_id=slot.active,
                signal_id="session_entered",
                event=Event(session_entered=SessionEntered()),
            )
            job_id = f"session/tell/{slot.active}"
            self._jobs.put(Job(job_id=job_id, tenant=tenant, queue=QUEUE_RUNS, signal_run=told))
            self._clear(tenant, slot)

    def _show(
        self,
        request: pb.EnterSessionRequest | pb.GetWindowRequest,
        response: pb.EnterSessionResponse | pb.GetWindowResponse,
    ) -> None:
        held = self.messages.get(request.session_id, [])
        response.last_seq = request.last_seq or len(held)
        response.messages.extend(held[: response.last_seq])

    def _now(self) -> Timestamp:
        time = Timestamp()
        time.FromMilliseconds(int(self._clock.now() * 1000))
        return time
