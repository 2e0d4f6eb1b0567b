"""One line of text for each event: the view for logs, pipes and later reading."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.event_pb2 import (
    ApprovalDecided,
    ChildEnded,
    ChildStarted,
    CompensationFailed,
    CompensationStarted,
    Event,
    NodeFailed,
    NodeStarted,
    RunResumed,
    RunStarted,
    ToolCallCompleted,
    TurnCompleted,
    TurnRestarted,
)
from pentad.state.v1.run_pb2 import Failure, Pause, Settlement, Waiting
from pentad_cli.nodes import failure_words
from pentad_cli.progress import payload_text
from pentad_cli.words import clip, duration, local_time, seconds_between, state_word, usage_words

_ARGUMENTS = 120


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in words."""

    offset_s: float
    """Time since the run was accepted."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.offset_s:+9.3f} s  {self.kind:<20} {self.what}".rstrip()


class Narrator:
    """Turns the events of one run into entries; offsets count from the first event it sees."""

    def __init__(self) -> None:
        self._first: Event | None = None

    def tell(self, event: Event) -> Entry:
        """Return the event in words."""
        self._first = self._first or event
        offset = seconds_between(self._first.time, event.time)
        kind = event.WhichOneof("kind") or "unknown"  # an event of a newer suite
        what = _WORDS[kind](event) if kind in _WORDS else ""
        return Entry(offset, kind.replace("_", " "), what)


def timeline(events: Iterable[Event]) -> Iterator[Entry]:
    """Return a run's journalled events in words; deltas repeat what their turn says."""
    narrator = Narrator()
    for event in events:
        if event.WhichOneof("kind") != "text_delta":
            yield narrator.tell(event)


def _turn(turn: TurnCompleted) -> str:
    calls = "; ".join(
        f"{c.call_id} {c.tool} {clip(payload_text(c.arguments), _ARGUMENTS)}"
        for c in turn.message.tool_calls
    )
    said = " → ".join(part for part in (clip(turn.message.text), calls) if part)
    used = "from the response cache" if turn.from_cache else usage_words(turn.usage)
    return f"{turn.model}, {used}: {said}"


def _call(call: ToolCallCompleted) -> str:
    elapsed = duration(call.elapsed.seconds + call.elapsed.nanos / 1e9)
    replayed = ", replayed" if call.replayed else ""
    outcome = (
        f"{clip(call.error.message)} ({call.error.reason})"
        if call.HasField("error")
        else clip(payload_text(call.result))
    )
    return f"{call.call_id} {call.tool} in {elapsed}{replayed}: {outcome}"


def _started(started: RunStarted) -> str:
    again = f", owner number {started.attempt}" if started.attempt > 1 else ""
    lost = "; the one before was lost" if started.owner_lost else ""
    return f"by {started.owner}{again}{lost}"


def _paused(pause: Pause) -> str:
    return f"{clip(pause.message)} ({pause.reason})"


def _resumed(resumed: RunResumed) -> str:
    said = (f"{each.call_id} {settlement_words(each)}" for each in resumed.settlements)
    return "; ".join(part for part in (clip(resumed.reason), *said) if part)


def settlement_words(settlement: Settlement) -> str:
    """Return what was found out about a call."""
    match settlement.WhichOneof("finding"):
        case "result":
            return f"took place: {clip(payload_text(settlement.result))}"
        case "failure":
            return f"failed: {clip(settlement.failure)}"
    return "did not take place"


def _restarted(turn: TurnRestarted) -> str:
    return f"turn {turn.turn} of {turn.step}, attempt {turn.attempt}; its text so far is void"


def _failure(failure: Failure) -> str:
    return f"{clip(failure.message)} ({failure.reason})"


def _asked(approval: Approval) -> str:
    what = f" {approval.tool} {clip(payload_text(approval.arguments), _ARGUMENTS)}"
    whom = ", ".join(approval.approvers) or "any key"
    return f"{approval.approval_id} of {whom}: {clip(approval.question)}{what.rstrip()}"


def _decided(decided: ApprovalDecided) -> str:
    decision = decided.decision
    word = "approved" if decision.verdict == Decision.VERDICT_APPROVED else "refused"
    said = f": {clip(decision.comment)}" if decision.comment else ""
    answer = f" → {clip(payload_text(decision.answer))}" if decision.HasField("answer") else ""
    return f"{decided.key} {word} by {decision.decided_by}{said}{answer}"


def _child_ended(ended: ChildEnded) -> str:
    status = ended.status
    outcome = status.output or status.cancel_reason
    if status.HasField("failure"):
        outcome = f"{status.failure.message} ({status.failure.reason})"
    return f"{_place(ended)} {state_word(status.state)}: {clip(outcome)}".removesuffix(": ")


def _place(child: ChildStarted | ChildEnded) -> str:
    return f"{child.key} [{child.index}]"


def _node_started(started: NodeStarted | CompensationStarted) -> str:
    again = f", attempt {started.attempt}" if started.attempt > 1 else ""
    given = clip(payload_text(started.input), _ARGUMENTS)
    return f"{started.path}{again}: {given}".removesuffix(": ")


def _node_failed(failed: NodeFailed | CompensationFailed) -> str:
    again = "; will be tried again" if failed.HasField("retry_after") else ""
    return f"{failed.path}: {failure_words(failed.failure)}{again}"


def waiting_words(waiting: Waiting) -> str:
    """Return what a run waits for."""
    parts = [*waiting.approval_ids, *(f"run {run_id}" for run_id in waiting.child_run_ids)]
    if waiting.active_run_id:
        parts.append(f"run {waiting.active_run_id} to leave the session")
    if waiting.HasField("wake_time"):
        parts.append(f"until {local_time(waiting.wake_time)}")
    return clip(", ".join(parts))


_WORDS: dict[str, Callable[[Event], str]] = {
    "run_created": lambda e: ", ".join(f"{s.name} by {s.agent}" for s in e.run_created.steps),
    "run_started": lambda e: _started(e.run_started),
    "turn_started": lambda e: f"turn {e.turn_started.turn} of {e.turn_started.step}",
    "turn_restarted": lambda e: _restarted(e.turn_restarted),
    "text_delta": lambda e: clip(e.text_delta.text),
    "turn_completed": lambda e: _turn(e.turn_completed),
    "turn_failed": lambda e: (
        _failure(e.turn_failed.failure) + ("; will be repeated" if e.turn_failed.retryable else "")
    ),
    "tool_call_started": lambda e: f"{e.tool_call_started.call_id} {e.tool_call_started.tool}",
    "tool_call_completed": lambda e: _call(e.tool_call_completed),
    "effect_unknown": lambda e: (
        f"{e.effect_unknown.call_id} {e.effect_unknown.tool}: nobody knows whether it took place"
    ),
    "run_paused": lambda e: _paused(e.run_paused.pause),
    "run_resumed": lambda e: _resumed(e.run_resumed),
    "approval_requested": lambda e: _asked(e.approval_requested.approval),
    "approval_escalated": lambda e: (
        f"{e.approval_escalated.key} to {', '.join(e.approval_escalated.approvers)}"
    ),
    "approval_decided": lambda e: _decided(e.approval_decided),
    "approval_expired": lambda e: f"{e.approval_expired.key}: nobody decided in time",
    "timer_started": lambda e: (
        f"{e.timer_started.key} until {local_time(e.timer_started.fire_time)}"
    ),
    "timer_fired": lambda e: e.timer_fired.key,
    "child_started": lambda e: f"{_place(e.child_started)} run {e.child_started.run_id}",
    "child_ended": lambda e: _child_ended(e.child_ended),
    "run_waiting": lambda e: waiting_words(e.run_waiting.waiting),
    "session_entered": lambda _: "its turn in the session has come",
    "run_forked": lambda e: f"from run {e.run_forked.fork.run_id} at {e.run_forked.fork.seq}",
    "node_started": lambda e: _node_started(e.node_started),
    "node_completed": lambda e: (
        f"{e.node_completed.path}: {clip(payload_text(e.node_completed.output))}"
    ),
    "node_failed": lambda e: _node_failed(e.node_failed),
    "node_skipped": lambda e: e.node_skipped.node,
    "compensation_started": lambda e: _node_started(e.compensation_started),
    "compensation_completed": lambda e: e.compensation_completed.path,
    "compensation_failed": lambda e: _node_failed(e.compensation_failed),
    "unwinding_started": lambda e: (
        failure_words(e.unwinding_started.failure) or clip(e.unwinding_started.cancel_reason)
    ),
    "graph_completed": lambda e: clip(e.graph_completed.output),
    "step_completed": lambda e: f"{e.step_completed.step}: {clip(e.step_completed.output)}",
    "deadline_reached": lambda _: "the run's wall time is over",
    "run_completed": lambda e: (
        f"{usage_words(e.run_completed.usage)}: {clip(e.run_completed.output)}"
    ),
    "run_failed": lambda e: _failure(e.run_failed.failure),
    "run_cancelled": lambda e: clip(e.run_cancelled.reason),
}
