"""What the store knows of a run, and the rules that it holds to."""

from dataclasses import dataclass, field

from pentad.state.v1.approval_pb2 import Approval
from pentad.state.v1.event_pb2 import Event, RunResumed
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad.state.v1.run_service_pb2 import ApprovalChange, RunSignals
from pentad_chassis.errors import ServiceError

QUEUED, RUNNING, PAUSED, WAITING = (
    RunStatus.STATE_QUEUED,
    RunStatus.STATE_RUNNING,
    RunStatus.STATE_PAUSED,
    RunStatus.STATE_WAITING,
)
DECIDED = frozenset({Approval.STATE_APPROVED, Approval.STATE_REFUSED})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the store holds to."""

    fence: bool = True
    """Only the latest owner of a run appends to it."""
    begin: bool = True
    """A call that is in the ledger does not run again unasked."""
    attempts: bool = True
    """What was found out about one attempt at a call counts for no other."""


@dataclass(slots=True, eq=False)
class Stored:
    """A run and all that the store knows of it."""

    run: Run
    fingerprint: bytes
    created_ms: int
    state: RunStatus.State.ValueType = QUEUED
    rank: tuple[int, int] = (0, 0)
    fence: int = 0
    owner: str = ""
    lease_ends_ms: int = 0
    journal: list[Event] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    cancel: str | None = None
    pause: str | None = None
    withdrawn: RunResumed | None = None
    resumed: RunResumed | None = None
    resumes: set[str] = field(default_factory=set)
    lost: int = 0
    """Owners that let their lease run out."""
    wake_ms: int = 0
    """When it goes on by itself while it waits; 0 for never."""
    told: list[Event] = field(default_factory=list)
    """All that it was ever told."""
    told_ids: set[str] = field(default_factory=set)
    heard: int = 0
    """How much of that its journal holds."""
    approvals: dict[str, Approval] = field(default_factory=dict)
    decisions: dict[str, str] = field(default_factory=dict)
    """By which request each was decided."""
    doubted: str = ""
    """Which of them asks about unknown effects."""

    @property
    def ended(self) -> bool:
        return self.state not in {QUEUED, RUNNING, PAUSED, WAITING}

    def seen(self) -> Run:
        """Return the run as callers see it."""
        run = Run()
        run.CopyFrom(self.run)
        run.status.state = self.state
        run.last_seq = len(self.journal)
        run.cancel_requested = self.cancel is not None and not self.ended
        run.pause_requested = self.pause is not None and not self.ended
        if self.state != PAUSED:
            run.status.ClearField("pause")
        if self.state != WAITING:
            run.status.ClearField("waiting")
        return run

    def signals(self) -> RunSignals | None:
        """Return what it was told and has not heard."""
        unheard = self.told[self.heard :]
        if not unheard:
            return None
        return RunSignals(run_id=self.run.run_id, first=self.heard + 1, events=unheard)

    def hear(self, upto: int) -> None:
        """Take note of how much of what it was told its journal holds."""
        self.heard = max(self.heard, min(upto, len(self.told)))

    def is_overtaken(self, change: ApprovalChange) -> bool:
        """Whether a change needs an approval to be pending that somebody has decided."""
        known = self.approvals.get(change.approval.key)
        return change.must_be_pending and known is not None and known.state in DECIDED

    def change(self, change: ApprovalChange, now_ms: int) -> None:
        """Make an approval, or change it unless somebody has decided it."""
        key, known = change.approval.key, self.approvals.get(change.approval.key)
        if known is not None and known.state in DECIDED:
            return
        made = Approval()
        made.CopyFrom(change.approval)
        made.approval_id, made.run_id = f"{self.run.run_id}/{key}", self.run.run_id
        if known is None:
            made.create_time.FromMilliseconds(now_ms)
        else:
            made.create_time.CopyFrom(known.create_time)
        self.approvals[key] = made
        if made.kind == Approval.KIND_UNKNOWN_EFFECTS:
            self.doubted = key

    def withdraw(self) -> None:
        """Forget what nobody has decided."""
        for approval in self.approvals.values():
            if approval.state == Approval.STATE_PENDING:
                approval.state = Approval.STATE_WITHDRAWN


def refusal(kind: type[ServiceError], reason: str) -> ServiceError:
    """Return an error as the state service gives it."""
    error = kind(reason.lower().replace("_", " "))
    error.reason = reason
    return error
