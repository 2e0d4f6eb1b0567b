"""What each event changes: a run is a fold over its journal. Pure; times come on the events."""

from collections.abc import Iterable
from dataclasses import replace

from pentad.state.v1.event_pb2 import (
    Event,
    RunStarted,
    ToolCallCompleted,
    ToolCallStarted,
    TurnCompleted,
    TurnFailed,
    TurnRestarted,
)
from pentad.state.v1.message_pb2 import Message, Payload, Usage
from pentad.state.v1.run_pb2 import RunStatus
from pentad_orchestrator import pauses
from pentad_orchestrator.bounds import run_bounds
from pentad_orchestrator.run import (
    Answered,
    Call,
    Calling,
    Ended,
    Finishing,
    InTurn,
    Overdue,
    Paused,
    Queued,
    Ready,
    Run,
    TurnBroken,
    seconds,
)

ARGUMENTS_INVALID = "TOOL_ARGUMENTS_INVALID"


class UnexpectedEvent(Exception):
    """The journal holds what cannot have happened; this code and it disagree."""

    def __init__(self, run: Run, event: Event) -> None:
        phase = type(run.phase).__name__
        super().__init__(f"{event.WhichOneof('kind')} at {event.seq} of {run.run_id} in {phase}")


class UnknownEvent(Exception):
    """The journal holds an event of a kind that a later version brought."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"event {run.last_seq + 1} of {run.run_id}")


def fold(events: Iterable[Event]) -> Run:
    """Return the run that a journal, which opens with its creation, tells of."""
    journal = iter(events)
    run = begin(next(journal))
    for event in journal:
        run = evolve(run, event)
    return run


def begin(event: Event) -> Run:
    """Return the run that `run_created` opens."""
    created = event.run_created
    return Run(
        run_id=event.run_id,
        created=created,
        steps=tuple(created.steps),
        agents={agent.name: agent for agent in created.agents},
        bounds=run_bounds(created),
        created_at_s=seconds(event.time),
        last_seq=event.seq,
    )


def evolve(run: Run, event: Event) -> Run:
    """Return the run after an event; the run before it is unchanged."""
    if event.WhichOneof("kind") is None:
        raise UnknownEvent(run)
    after = None if run.ended else _after(run, event)
    if after is None:
        raise UnexpectedEvent(run, event)
    return after.at(run.last_seq + 1)


def _after(run: Run, event: Event) -> Run | None:
    """Return the run after an event, or None for one that its phase does not allow."""
    after: Run | None = None
    match event.WhichOneof("kind"), run.phase:
        case "run_started", _:
            after = _started(run, event.run_started)
        case "turn_started" | "turn_restarted" | "turn_completed" | "turn_failed", _:
            after = _after_turn(run, event)
        case "tool_call_started" | "tool_call_completed" | "effect_unknown", Calling() as calling:
            after = _after_call(run, calling, event)
        case "step_completed", Answered(output):
            after = _step_completed(run, output)
        case "deadline_reached", _:
            after = run.having(phase=Overdue())
        case "run_paused", phase if not isinstance(phase, Paused | Ended):
            after = run.having(phase=Paused(phase, event.run_paused.pause, seconds(event.time)))
        case "run_resumed", _:
            after = pauses.resumed(run, event.run_resumed, seconds(event.time))
        case "run_completed" | "run_failed" | "run_cancelled", _:
            after = run.having(phase=_ended(event))
    return after


def _after_turn(run: Run, event: Event) -> Run | None:
    match event.WhichOneof("kind"), run.phase:
        case "turn_started", Ready() | Calling(done=True):
            return _turn_started(run, event)
        case "turn_restarted", InTurn() | TurnBroken():
            return _turn_restarted(run, event.turn_restarted, event.seq)
        case "turn_completed", InTurn():
            return _turn_completed(run, event.turn_completed)
        case "turn_failed", InTurn() as turn:
            return _turn_failed(run, turn, event.turn_failed, seconds(event.time))
    return None


def _after_call(run: Run, calling: Calling, event: Event) -> Run | None:
    match event.WhichOneof("kind"):
        case "tool_call_started":
            return _call_started(run, calling, event.tool_call_started)
        case "tool_call_completed":
            return _call_completed(run, calling, event.tool_call_completed)
    return pauses.effect_unknown(run, calling, event.effect_unknown)


def _started(run: Run, started: RunStarted) -> Run:
    """A new owner: what the one before it had in hand is lost."""
    run = run.having(
        attempt=started.attempt,
        fence=started.fence,
        owners_lost=run.owners_lost + started.owner_lost,
    )
    phase = run.phase.before if isinstance(run.phase, Paused) else run.phase
    assert not isinstance(phase, Ended), "nothing follows the end"
    if isinstance(phase, Queued):
        run = run.having(session_seq=started.session_seq)
    taken = pauses.orphaned(phase)
    if isinstance(run.phase, Paused):
        return run.having(phase=replace(run.phase, before=taken))
    return run.having(phase=taken)


def _turn_started(run: Run, event: Event) -> Run:
    messages = run.messages
    if isinstance(run.phase, Calling):
        # One copy a turn; each request to a model holds all messages anyway.
        messages += (run.phase.message, *map(_tool_message, run.phase.calls))
    return run.having(phase=InTurn(event.seq), messages=messages, turn=event.turn_started.turn)


def _turn_restarted(run: Run, restarted: TurnRestarted, seq: int) -> Run | None:
    match run.phase:
        case InTurn(failures=failures, cuts=cuts) | TurnBroken(failures=failures, cuts=cuts):
            return run.having(phase=InTurn(seq, restarted.attempt, failures, cuts))
    return None


def _turn_completed(run: Run, completed: TurnCompleted) -> Run:
    message = completed.message
    run = run.having(turns=run.turns + 1, usage=_sum(run, completed.usage), owners_lost=0)
    if message.tool_calls:
        return run.having(phase=Calling(message, tuple(map(Call, message.tool_calls))))
    if run.multi_step:
        return run.having(phase=Answered(message.text))
    return run.having(phase=Finishing(message.text))


def _sum(run: Run, usage: Usage) -> Usage:
    """Add up; the cost is known only as long as every turn's is."""
    before = run.usage
    total = Usage(
        input_tokens=before.input_tokens + usage.input_tokens,
        output_tokens=before.output_tokens + usage.output_tokens,
        cached_input_tokens=before.cached_input_tokens + usage.cached_input_tokens,
    )
    known_before = before.HasField("cost_nano_usd") or run.turns == 0
    if known_before and usage.HasField("cost_nano_usd"):
        total.cost_nano_usd = before.cost_nano_usd + usage.cost_nano_usd
    return total


def _turn_failed(run: Run, turn: InTurn, failed: TurnFailed, at_s: float) -> Run:
    cuts, failures = turn.cuts + failed.cut_short, turn.failures + (not failed.cut_short)
    broken = TurnBroken(turn.attempt, failures, failed.failure, failed.retryable, at_s, cuts)
    return run.having(phase=broken)


def _call_started(run: Run, calling: Calling, started: ToolCallStarted) -> Run | None:
    call = calling.call(started.call_id)
    if call.started:
        return None
    calls = calling.replaced(call, started=True)
    return run.having(phase=calls, calls_started=run.calls_started + 1)


def _call_completed(run: Run, calling: Calling, completed: ToolCallCompleted) -> Run | None:
    call = calling.call(completed.call_id)
    if not call.started or call.outcome is not None:
        return None
    after = calling.replaced(call, outcome=completed, unknown=False, settlement=None)
    run = run.having(phase=after, tool_calls=run.tool_calls + 1, owners_lost=0)
    if not after.done:
        return run
    outcomes = (c.outcome.error.reason for c in after.calls if c.outcome is not None)
    invalid = all(reason == ARGUMENTS_INVALID for reason in outcomes)
    return run.having(invalid_turns=run.invalid_turns + 1 if invalid else 0)


def _step_completed(run: Run, output: str) -> Run:
    step = run.step + 1
    last = step == len(run.steps)
    return run.having(
        phase=Finishing(output) if last else Ready(),
        step=step,
        owners_lost=0,
        outputs=(*run.outputs, output),
        messages=(),
    )


def _ended(event: Event) -> Ended:
    match event.WhichOneof("kind"):
        case "run_completed":
            return Ended(RunStatus.STATE_COMPLETED, output=event.run_completed.output)
        case "run_failed":
            return Ended(RunStatus.STATE_FAILED, failure=event.run_failed.failure)
    return Ended(RunStatus.STATE_CANCELLED, cancel_reason=event.run_cancelled.reason)


def _tool_message(call: Call) -> Message:
    outcome = call.outcome
    assert outcome is not None, "a turn begins when every call before it has its outcome"
    error = outcome.error
    failed = outcome.WhichOneof("outcome") == "error"
    return Message(
        role=Message.ROLE_TOOL,
        text=f"{error.reason}: {error.message}" if failed else _as_text(outcome.result),
        failed=failed,
        call_id=call.wish.call_id,
        tool=call.wish.tool,
        model_call_id=call.wish.model_call_id,
    )


def _as_text(result: Payload) -> str:
    if result.WhichOneof("body") == "binary":
        return f"({len(result.binary)} bytes of {result.content_type})"
    return result.text
