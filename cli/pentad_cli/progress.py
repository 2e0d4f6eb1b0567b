"""A run as its events tell it: a fold that every view of a run is drawn from."""

from dataclasses import dataclass, field

from pentad.state.v1.event_pb2 import (
    EffectUnknown,
    Event,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunPaused,
    RunWaiting,
    StepCompleted,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    TurnCompleted,
    TurnFailed,
    TurnRestarted,
    TurnStarted,
)
from pentad.state.v1.message_pb2 import Payload, Usage
from pentad.state.v1.run_pb2 import RunStatus
from pentad_cli.nodes import Nodes
from pentad_cli.words import local_time


@dataclass(slots=True)
class Call:
    """One tool call."""

    tool: str
    arguments: str
    started: bool = False
    result: str | None = None
    error: str | None = None
    replayed: bool = False
    unknown: bool = False
    """Nobody knows whether it took place; no longer once its outcome is known."""

    waits: str = ""
    """What for, while it does."""

    elapsed_s: float = 0.0


@dataclass(slots=True)
class Turn:
    """One model turn and the calls it asked for."""

    number: int
    text: str = ""
    attempt: int = 1
    done: bool = False
    model: str = ""
    failure: str = ""
    usage: Usage = field(default_factory=Usage)
    from_cache: bool = False
    calls: dict[str, Call] = field(default_factory=dict)


@dataclass(slots=True)
class Step:
    """One step; a simple run has one."""

    name: str
    agent: str
    turns: dict[int, Turn] = field(default_factory=dict)
    done: bool = False


@dataclass(slots=True)
class Progress:
    """What is known of a run; `apply` takes its events in order."""

    run_id: str = ""
    steps: dict[str, Step] = field(default_factory=dict)
    state: "RunStatus.State.ValueType" = RunStatus.STATE_QUEUED
    started_s: float = 0.0
    last_s: float = 0.0
    owners: int = 0
    usage: Usage = field(default_factory=Usage)
    output: str = ""
    nodes: Nodes = field(default_factory=Nodes)
    """Of a run of a workflow."""

    reason: str = ""
    """Why it failed, was cancelled or is paused."""

    @property
    def ended(self) -> bool:
        """Nothing more will happen."""
        return self.state in {
            RunStatus.STATE_COMPLETED,
            RunStatus.STATE_FAILED,
            RunStatus.STATE_CANCELLED,
        }

    @property
    def elapsed_s(self) -> float:
        """Time from the first event to the last, by the store's clock."""
        return max(0.0, self.last_s - self.started_s)

    def apply(self, event: Event) -> None:
        """Take the next event."""
        self.run_id = event.run_id
        at = event.time.seconds + event.time.nanos / 1e9
        self.started_s = self.started_s or at
        self.last_s = max(self.last_s, at)
        self.nodes.apply(event)
        match getattr(event, event.WhichOneof("kind") or "", None):
            case RunCreated() as created:
                self.steps = {s.name: Step(s.name, s.agent) for s in created.steps}
            case TurnStarted() | TurnRestarted() | TurnCompleted() | TurnFailed() as turn:
                self._apply_turn(turn)
            case TextDelta() as delta:
                self._apply_delta(delta)
            case ToolCallStarted() | ToolCallCompleted() | EffectUnknown() as call:
                self._apply_call(call)
            case StepCompleted() as step:
                self._step(step.step).done = True
            case RunCompleted() | RunFailed() | RunCancelled() as end:
                self._apply_end(end)
            case RunPaused() as paused:
                self.state, self.reason = RunStatus.STATE_PAUSED, paused.pause.message
            case RunWaiting():
                self.state, self.reason = RunStatus.STATE_WAITING, ""
            case _:
                self._apply_wait(event)
                self.state, self.reason = RunStatus.STATE_RUNNING, ""
                self.owners = max(self.owners, event.run_started.attempt)

    def _apply_turn(self, event: TurnStarted | TurnRestarted | TurnCompleted | TurnFailed) -> None:
        self.state = RunStatus.STATE_RUNNING
        turn = self._step(event.step).turns.setdefault(event.turn, Turn(event.turn))
        match event:
            case TurnStarted():
                pass
            case TurnRestarted():
                turn.attempt, turn.text, turn.failure = event.attempt, "", ""
            case TurnFailed():
                turn.failure = f"{event.failure.message} ({event.failure.reason})"
            case TurnCompleted():
                turn.done, turn.text, turn.failure = True, event.message.text, ""
                turn.model, turn.usage = event.model, event.usage
                turn.from_cache = event.from_cache
                add_usage(self.usage, event.usage)
                turn.calls = {
                    c.call_id: Call(c.tool, payload_text(c.arguments))
                    for c in event.message.tool_calls
                }

    def _apply_delta(self, delta: TextDelta) -> None:
        for step in self.steps.values():
            if turn := step.turns.get(delta.turn):
                kept = turn.text.encode()[: delta.offset]
                turn.text = kept.decode(errors="ignore") + delta.text

    def _apply_call(self, event: ToolCallStarted | ToolCallCompleted | EffectUnknown) -> None:
        if not event.step:
            return  # a workflow's node says what became of it
        turns = self._step(event.step).turns.values()
        call = next((t.calls[event.call_id] for t in turns if event.call_id in t.calls), None)
        if call is None:  # a tail that began in the middle has not seen the turn
            turn = self._step(event.step).turns.setdefault(0, Turn(0, done=True))
            call = turn.calls.setdefault(event.call_id, Call(event.tool, ""))
        call.started = True
        call.unknown = isinstance(event, EffectUnknown)
        if isinstance(event, ToolCallCompleted):
            call.replayed = event.replayed
            call.elapsed_s = event.elapsed.seconds + event.elapsed.nanos / 1e9
            if event.HasField("error"):
                call.error = f"{event.error.message} ({event.error.reason})"
            else:
                call.result = payload_text(event.result)

    def _apply_wait(self, event: Event) -> None:
        """Note what a call waits for; another run is named as long as it goes on."""
        match event.WhichOneof("kind"):
            case "approval_requested":
                approval = event.approval_requested.approval
                self._waits(approval.key, f"asks {approval.approval_id}")
            case "timer_started":
                time = local_time(event.timer_started.fire_time)
                self._waits(event.timer_started.key, f"waits until {time}")
            case "child_started":
                self._waits(event.child_started.key, f"waits for run {event.child_started.run_id}")
            case "approval_decided":
                self._waits(event.approval_decided.key, "")
            case "approval_expired":
                self._waits(event.approval_expired.key, "")
            case "timer_fired":
                self._waits(event.timer_fired.key, "")
            case "run_forked":
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget what was begun and has not ended: a fork begins it anew."""
        for step in self.steps.values():
            for call in (call for turn in step.turns.values() for call in turn.calls.values()):
                if call.result is None and call.error is None:
                    call.started, call.unknown, call.waits = False, False, ""

    def _waits(self, call_id: str, what: str) -> None:
        for step in self.steps.values():
            for turn in step.turns.values():
                if call := turn.calls.get(call_id):
                    call.waits = what

    def _apply_end(self, event: RunCompleted | RunFailed | RunCancelled) -> None:
        self.usage = event.usage
        match event:
            case RunCompleted():
                self.state, self.output = RunStatus.STATE_COMPLETED, event.output
            case RunFailed():
                self.state = RunStatus.STATE_FAILED
                self.reason = f"{event.failure.message} ({event.failure.reason})"
            case RunCancelled():
                self.state, self.reason = RunStatus.STATE_CANCELLED, event.reason

    def _step(self, name: str) -> Step:
        return self.steps.setdefault(name, Step(name, ""))


def payload_text(payload: Payload) -> str:
    """Return a payload as text; other bytes as their size."""
    if payload.WhichOneof("body") == "binary":
        return f"{len(payload.binary)} bytes of {payload.content_type}"
    return payload.text


def add_usage(total: Usage, part: Usage) -> None:
    """Add one turn's usage; the cost is unknown unless some part has one."""
    total.input_tokens += part.input_tokens
    total.output_tokens += part.output_tokens
    total.cached_input_tokens += part.cached_input_tokens
    if part.HasField("cost_nano_usd"):
        total.cost_nano_usd += part.cost_nano_usd
