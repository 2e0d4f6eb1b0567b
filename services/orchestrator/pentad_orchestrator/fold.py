"""What each event changes: a run is a fold over its journal. Pure; times come on the events."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from pentad.state.v1.run_pb2 import RunStatus
from pentad_orchestrator import (
    approvals,
    children,
    exhaustion,
    forking,
    outside,
    parking,
    pauses,
    spending,
    timers,
    usage,
)
from pentad_orchestrator.bounds import run_bounds
from pentad_orchestrator.graph import events as graphs
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.messages import answer_of
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

_WAITS: Mapping[str, Callable[[Run, Event], Run | None]] = {
    "approval_requested": approvals.requested,
    "approval_escalated": approvals.escalated,
    "approval_decided": approvals.decided,
    "approval_expired": approvals.expired,
    "timer_started": timers.started,
    "timer_fired": timers.fired,
    "child_started": children.started,
    "child_ended": children.ended,
    "run_waiting": parking.parked,
    "session_entered": outside.told,
    "run_forked": forking.forked,
}
"""What may come in any phase: most of it changes nothing but what the run waits for."""


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
    return evolved(begin(next(journal)), journal)


def evolved(run: Run, events: Iterable[Event]) -> Run:
    """Return the run after events."""
    for event in events:
        run = evolve(run, event)
    return run


def opened(events: Sequence[Event]) -> Run | None:
    """Return the run as it was created, where the rest of its journal cannot be read."""
    return begin(events[0]) if events and events[0].HasField("run_created") else None


def begin(event: Event) -> Run:
    """Return the run that `run_created` opens."""
    created = event.run_created
    return Run(
        run_id=event.run_id,
        created=created,
        steps=tuple(created.steps),
        agents={agent.name: agent for agent in created.agents},
        tools={tool.name: tool for tool in created.tools},
        bounds=run_bounds(created),
        created_at_s=seconds(event.time),
        last_seq=event.seq,
        now_s=seconds(event.time),
    )


def evolve(run: Run, event: Event) -> Run:
    """Return the run after an event; the run before it is unchanged."""
    if event.WhichOneof("kind") is None:
        raise UnknownEvent(run)
    after = None if run.ended else _after(run, event)
    if after is None:
        raise UnexpectedEvent(run, event)
    return after.at(run.last_seq + 1, seconds(event.time))


def follows(run: Run, event: Event) -> bool:
    """Whether an event that the run was told still means something to it."""
    return not run.ended and _after(run, event) is not None


def _after(run: Run, event: Event) -> Run | None:
    """Return the run after an event, or None for one that its phase does not allow."""
    graph = _concerned(run, event)
    return _after_each(run, event) if graph is None else graphs.after(run, graph, event)


def _after_each(run: Run, event: Event) -> Run | None:
    after: Run | None = None
    match event.WhichOneof("kind"), run.phase:
        case "run_started", _:
            after = _started(parking.taken(run, event), event.run_started)
        case "turn_started" | "turn_restarted" | "turn_completed" | "turn_failed", _:
            after = _after_turn(run, event)
        case "tool_call_started" | "tool_call_completed" | "effect_unknown", Calling() as calling:
            after = _after_call(run, calling, event)
        case "step_completed", Answered(output):
            after = _step_completed(run, output)
        case "deadline_reached", _:
            after = run.having(phase=Overdue())
        case "run_paused", phase if not isinstance(phase, Paused | Ended):
            pause, since_s = event.run_paused.pause, seconds(event.time)
            run = parking.taken(run, event)
            after = run.having(phase=Paused(phase, pause, since_s, event.seq))
        case "run_resumed", _:
            after = pauses.resumed(run, event.run_resumed, seconds(event.time))
        case "run_completed" | "run_failed" | "run_cancelled", _:
            after = run.having(phase=_ended(event))
        case str(kind), _ if kind in _WAITS:
            after = _WAITS[kind](run, event)
    return after


def _concerned(run: Run, event: Event) -> InGraph | None:
    """Return the graph that has a say in what an event means, if one has."""
    phase = run.phase
    if not isinstance(phase, InGraph | Paused):
        return None
    kind = event.WhichOneof("kind")
    if isinstance(phase, Paused) and kind == "unwinding_started":
        phase = phase.before
    return phase if isinstance(phase, InGraph) and kind in graphs.KINDS else None


def _after_turn(run: Run, event: Event) -> Run | None:
    match event.WhichOneof("kind"), run.phase:
        case "turn_started", Ready() | Calling(done=True):
            return _turn_started(run, event)
        case "turn_restarted", InTurn() | TurnBroken():
            return _turn_restarted(run, event.turn_restarted, event.seq)
        case "turn_completed", InTurn() as turn:
            return _turn_completed(run, turn, event.turn_completed, seconds(event.time))
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
    if run.is_graph and isinstance(taken, Ready):
        taken = graphs.begun(run)
    if isinstance(run.phase, Paused):
        return run.having(phase=replace(run.phase, before=taken))
    return run.having(phase=taken)


def _turn_started(run: Run, event: Event) -> Run:
    messages = run.messages
    if isinstance(run.phase, Calling):
        # One copy a turn; each request to a model holds all messages anyway.
        messages += (run.phase.message, *map(answer_of, run.phase.calls))
        run = _forgetting(run)
    return run.having(phase=InTurn(event.seq), messages=messages, turn=event.turn_started.turn)


def _forgetting(run: Run) -> Run:
    """Return the run without what its calls waited for: they have their outcomes."""
    if not (run.approvals or run.timers or run.children):
        return run
    left = {name: child for name, child in run.children.items() if child.status is None}
    return run.having(approvals={}, timers={}, children=left)


def _turn_restarted(run: Run, restarted: TurnRestarted, seq: int) -> Run | None:
    match run.phase:
        case InTurn(failures=failures, cuts=cuts) | TurnBroken(failures=failures, cuts=cuts):
            return run.having(phase=InTurn(seq, restarted.attempt, failures, cuts))
    return None


def _turn_completed(run: Run, turn: InTurn, completed: TurnCompleted, at_s: float) -> Run:
    message = completed.message
    used = usage.total(run.usage, completed.usage, first=run.turns == 0)
    spent = spending.added(
        run.spending, run.agent.name, run.agent.model, usage=completed.usage, turns=1
    )
    run = run.having(turns=run.turns + 1, usage=used, spending=spent, owners_lost=0)
    if completed.HasField("exhausted"):
        return exhaustion.cut_off(run, turn, completed, at_s)
    if message.tool_calls:
        return run.having(phase=Calling(message, tuple(map(Call, message.tool_calls))))
    if run.multi_step:
        return run.having(phase=Answered(message.text))
    return run.having(phase=Finishing(message.text))


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
    denied = call.wish.call_id in run.approvals
    if not (call.started or denied) or call.outcome is not None:
        return None
    after = calling.replaced(call, outcome=completed, unknown=False, settlement=None)
    run = children.unwanted(run, call.wish.call_id) if run.children else run
    spent = spending.added(run.spending, run.agent.name, run.agent.model, calls=1)
    run = run.having(phase=after, tool_calls=run.tool_calls + 1, spending=spent, owners_lost=0)
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
            failed = event.run_failed
            return Ended(RunStatus.STATE_FAILED, failed.output, failed.failure)
    return Ended(RunStatus.STATE_CANCELLED, cancel_reason=event.run_cancelled.reason)
