"""What a run does next. Pure: the same journal gives the same decision, on any machine, any day.

A run goes on in two ways. Some events follow from what is known (`follow_up`): a turn is to
start, a step is done, a bound is reached. Others are outcomes of commands (`decide`), which are
executed only once all that precedes them is journalled, so that whoever takes the run over knows
what may have happened.
"""

from hashlib import blake2b

from pentad.state.v1.event_pb2 import (
    DeadlineReached,
    Event,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunStarted,
    StepCompleted,
    ToolCallCompleted,
    ToolCallStarted,
    TurnRestarted,
    TurnStarted,
)
from pentad.state.v1.message_pb2 import ToolError
from pentad.state.v1.run_pb2 import Failure, RunStatus
from pentad_orchestrator import failures, pauses
from pentad_orchestrator.commands import (
    AwaitDeadline,
    Command,
    ExecuteTurn,
    InvokeTool,
    SaveSession,
    Sleep,
)
from pentad_orchestrator.fold import UnknownEvent, begin, evolve, fold
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
)

__all__ = [
    "UnknownEvent", "begin", "cancelled", "completed", "deadline_reached", "decide", "evolve",
    "failed", "fold", "follow_up", "followed", "opening", "paused", "restarted", "status",
]  # fmt: skip

TURN_ATTEMPTS = 3
TURN_CUTS_MAX = 10
"""Attempts at a turn whose executor was gone in the midst; it may be the turn that kills them."""

INVALID_TURNS = 3
"""Turns in a row with nothing but invalid tool arguments that are fed back to the model."""

CALLS_AT_ONCE = 16
"""Tool calls of one turn that run side by side; a model may ask for hundreds."""

FIRST_FENCE = 1
"""Of a run's first lease; each claim of it raises the fence by one."""

OWNERS_LOST_MAX = 5
"""Owners in a row that die on a run before it is given up: it may be what kills them."""

_BACKOFF_S = 0.5
_BACKOFF_S_MAX = 60.0
RETRY_AFTER = "retry_after_s"
"""Key in a failure's metadata: how long the provider asks to be left alone."""

_CALLS_OWN = "TOOL_"
"""Reasons that begin so are outcomes of a call and go to the model; others end the run."""

_STARTS = frozenset({"turn_started", "turn_restarted", "tool_call_started"})


def opening(created: RunCreated, owner: str) -> tuple[tuple[Event, ...], RunStatus]:
    """Return what a run is begun with by `owner`, to whom it is handed as it is created.

    That is nothing for one with a session: what it holds has to be read before.
    """
    run = begin(Event(run_created=created))
    if created.spec.session_id:
        return (), status(run)
    started = Event(run_started=RunStarted(owner=owner, attempt=1, fence=FIRST_FENCE))
    following, run = followed(evolve(run, started))
    return (started, *following), status(run)


def decide(run: Run) -> tuple[Command, ...]:
    """Return what is to be in execution now, whether or not somebody has begun it."""
    deadline = AwaitDeadline(run.deadline_s)
    match run.phase:
        case InTurn(lost=False) as turn:
            return (ExecuteTurn(run.turn, turn.attempt), deadline)
        case TurnBroken() as broken if _worth_another(broken):
            return (Sleep(run.turn, broken.attempt, _retry_at(run, broken)), deadline)
        case Calling(calls=calls):
            in_hand = (call for call in calls if call.in_hand)
            return (*(InvokeTool(c.wish.call_id, c.not_done_up_to) for c in in_hand), deadline)
        case Finishing() if run.created.spec.session_id:
            # The answer is there: from here on neither deadline nor cancel takes it back.
            return (SaveSession(),)
    return ()


def follow_up(run: Run, *, may_start: bool = True) -> tuple[Event, ...]:
    """Return the events that follow from what is known; to be journalled before its commands.

    With `may_start` false they stop short of the first that begins a turn or a call.
    """
    return followed(run, may_start=may_start)[0]


def followed(run: Run, *, may_start: bool = True) -> tuple[tuple[Event, ...], Run]:
    """Return the same events, and the run after them."""
    events: list[Event] = []
    while (event := _next(run)) is not None:
        if event.WhichOneof("kind") in _STARTS and not may_start:
            break
        events.append(event)
        run = evolve(run, event)
    return tuple(events), run


def _next(run: Run) -> Event | None:
    if isinstance(run.phase, Paused | Ended):
        return None
    if run.owners_lost >= OWNERS_LOST_MAX:
        return failed(run, failures.poisoned(run))
    return _next_of_phase(run)


def _next_of_phase(run: Run) -> Event | None:
    event: Event | None = None
    match run.phase:
        case Ready():
            event = _start_turn(run)
        case InTurn(lost=True):
            event = restarted(run)
        case TurnBroken() as broken if not _worth_another(broken):
            event = failed(run, broken.failure)
        case Calling(done=False) as calling:
            event = _next_of_calls(run, calling)
        case Calling() as calling:
            event = _after_calls(run, calling)
        case Answered(output):
            event = Event(step_completed=StepCompleted(step=run.planned.name, output=output))
        case Finishing() if not run.created.spec.session_id:
            event = completed(run)
        case Overdue():
            event = failed(run, failures.wall_time_reached(run))
    return event


def _start_turn(run: Run) -> Event:
    if run.turn >= run.bounds.turns:
        return failed(run, failures.limit("TURN_LIMIT_REACHED", "max_turns", run.bounds.turns))
    return Event(turn_started=TurnStarted(step=run.planned.name, turn=run.turn + 1))


def _after_calls(run: Run, calling: Calling) -> Event:
    if fatal := _fatal(calling):
        return failed(run, failures.of_call(fatal))
    if run.invalid_turns > INVALID_TURNS:
        return failed(run, failures.arguments_invalid(run))
    return _start_turn(run)


def _next_of_calls(run: Run, calling: Calling) -> Event | None:
    if fatal := _fatal(calling):
        return failed(run, failures.of_call(fatal))
    if not any(call.started for call in calling.calls) and _too_many(run, calling):
        limit = run.bounds.tool_calls
        return failed(run, failures.limit("TOOL_CALL_LIMIT_REACHED", "max_tool_calls", limit))
    for call in calling.calls:
        if call.settled:
            return pauses.settled(run, call)
        if call.in_hand and call.wish.tool not in run.agent.tools:
            return _refused(run, call)
    return _park_or_start(run, calling)


def _park_or_start(run: Run, calling: Calling) -> Event | None:
    in_hand = sum(call.in_hand for call in calling.calls)
    if calling.unknown:
        # A person is to look: nothing more is begun, and what is in hand ends first.
        return None if in_hand else pauses.parked(calling)
    waiting = next((call for call in calling.calls if not call.started), None)
    if waiting is None or in_hand >= CALLS_AT_ONCE:
        return None
    started = ToolCallStarted(
        step=run.planned.name, call_id=waiting.wish.call_id, tool=waiting.wish.tool
    )
    return Event(tool_call_started=started)


def _too_many(run: Run, calling: Calling) -> bool:
    """Whether the turn asks for more than is left; then none of its calls is begun."""
    return run.calls_started + len(calling.calls) > run.bounds.tool_calls


def _refused(run: Run, call: Call) -> Event:
    """A model gets only the tools that its agent lists, whatever else the catalogue has."""
    message = f"agent {run.agent.name!r} has no tool {call.wish.tool!r}"
    return Event(
        tool_call_completed=ToolCallCompleted(
            step=run.planned.name,
            call_id=call.wish.call_id,
            tool=call.wish.tool,
            error=ToolError(reason="TOOL_NOT_FOUND", message=message),
        )
    )


def _fatal(calling: Calling) -> Call | None:
    """Return a call that ended in a failure of Pentad's own."""
    for call in calling.calls:
        outcome = call.outcome
        if outcome is None or outcome.WhichOneof("outcome") != "error":
            continue
        if not outcome.error.reason.startswith(_CALLS_OWN):
            return call
    return None


def _worth_another(broken: TurnBroken) -> bool:
    few = broken.failures < TURN_ATTEMPTS and broken.cuts < TURN_CUTS_MAX
    return broken.retryable and few


def _retry_at(run: Run, broken: TurnBroken) -> float:
    """Exponential with full jitter, drawn from the run's id so that a replay agrees."""
    name = f"{run.run_id}/{run.turn}/{broken.attempt}"
    fraction = int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") / 2**32
    jittered = fraction * _BACKOFF_S * 2.0**broken.failures
    asked = _number(broken.failure.metadata.get(RETRY_AFTER, ""))
    return broken.failed_at_s + min(_BACKOFF_S_MAX, max(jittered, asked))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def completed(run: Run) -> Event:
    """Return the end of a run that has its answer."""
    assert isinstance(run.phase, Finishing), "only an answer completes a run"
    return Event(run_completed=RunCompleted(output=run.phase.output, usage=run.usage))


def failed(run: Run, failure: Failure) -> Event:
    """Return the end of a run that cannot have an answer."""
    return Event(run_failed=RunFailed(failure=failure, usage=run.usage))


def cancelled(run: Run, reason: str) -> Event | None:
    """Return the end of a run that a caller cancelled; None once its answer is there."""
    if isinstance(run.phase, Finishing | Ended):
        return None
    return Event(run_cancelled=RunCancelled(reason=reason, usage=run.usage))


def paused(run: Run, reason: str) -> Event | None:
    """Return the pause of a run by request; None once its answer is there."""
    return pauses.requested(run, reason)


def restarted(run: Run) -> Event:
    """Return the start of another attempt at the current turn."""
    assert isinstance(run.phase, InTurn | TurnBroken), "only a turn is restarted"
    attempt = run.phase.attempt + 1
    return Event(
        turn_restarted=TurnRestarted(step=run.planned.name, turn=run.turn, attempt=attempt)
    )


def deadline_reached() -> Event:
    """Return the end of the wall time."""
    return Event(deadline_reached=DeadlineReached())


def status(run: Run) -> RunStatus:
    """Return where the run stands."""
    queued = isinstance(run.phase, Queued)
    standing = RunStatus(
        state=RunStatus.STATE_QUEUED if queued else RunStatus.STATE_RUNNING,
        usage=run.usage,
        turns=run.turns,
        tool_calls=run.tool_calls,
    )
    match run.phase:
        case Paused(pause=pause):
            standing.state = RunStatus.STATE_PAUSED
            standing.pause.CopyFrom(pause)
        case Ended(state, output, failure, cancel_reason):
            standing.state = state
            standing.output = output
            standing.cancel_reason = cancel_reason
            if failure is not None:
                standing.failure.CopyFrom(failure)
    return standing
