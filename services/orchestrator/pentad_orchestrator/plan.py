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
    RunCreated,
    RunStarted,
    StepCompleted,
    TurnRestarted,
    TurnStarted,
)
from pentad.state.v1.run_pb2 import RunStatus
from pentad_orchestrator import failures, parking, pauses, spending, timers, toolcalls
from pentad_orchestrator.commands import (
    AwaitDeadline,
    AwaitTimer,
    Command,
    ExecuteTurn,
    SaveSession,
    Sleep,
    Wait,
)
from pentad_orchestrator.endings import cancelled, completed, failed
from pentad_orchestrator.fold import UnknownEvent, begin, evolve, fold, follows
from pentad_orchestrator.graph import steps as graphs
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.run import (
    Answered,
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
    "UnknownEvent", "begin", "cancelled", "completed", "deadline_reached", "decide", "elapsed",
    "evolve", "failed", "fold", "follow_up", "followed", "follows", "opening", "paused",
    "restarted", "status", "waiting",
]  # fmt: skip

TURN_ATTEMPTS = 3
TURN_CUTS_MAX = 10
"""Attempts at a turn whose executor was gone in the midst; it may be the turn that kills them."""

FIRST_FENCE = 1
"""Of a run's first lease; each claim of it raises the fence by one."""

OWNERS_LOST_MAX = 5
"""Owners in a row that die on a run before it is given up: it may be what kills them."""

_FOLLOWING_BYTES = 128 * 1024
"""Beside outcomes of 256 KiB and more; an append holds 1 MiB."""

_AT_WORK = frozenset({RunStatus.STATE_QUEUED, RunStatus.STATE_RUNNING})
"""What was spent where is said when a run rests or ends, and not with each of its steps."""

_BACKOFF_S = 0.5
_BACKOFF_S_MAX = 60.0
RETRY_AFTER = "retry_after_s"
"""Key in a failure's metadata: how long the provider asks to be left alone."""

_STARTS = frozenset(
    {
        "turn_started", "turn_restarted", "tool_call_started", "approval_requested",
        "timer_started", *graphs.STARTS,
    }
)  # fmt: skip


def opening(created: RunCreated, owner: str) -> tuple[tuple[Event, ...], RunStatus]:
    """Return what a run is begun with by `owner`, to whom it is handed as it is created.

    That is nothing for one with a session: what it holds has to be read before. Nor for one of a
    graph: what that asks of people is recorded beside an append.
    """
    run = begin(Event(run_created=created))
    if created.spec.session_id or run.is_graph:
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
        case Calling() as calling:
            return (*toolcalls.commands(run, calling), deadline)
        case InGraph() as graph:
            return graphs.commands(run, graph)
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
    """Return the same events, and the run after them; of a graph as many as fit into an append."""
    events: list[Event] = []
    size = 0
    while size < _FOLLOWING_BYTES and (event := _next(run)) is not None:
        if event.WhichOneof("kind") in _STARTS and not may_start:
            break
        events.append(event)
        run = evolve(run, event)
        # Only a graph may have much to say at once: what many nodes are given.
        size += event.ByteSize() if run.is_graph else 0
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
            event = toolcalls.following(run, calling)
        case Calling() as calling:
            event = toolcalls.after(run, calling) or _start_turn(run)
        case InGraph() as graph:
            event = graphs.following(run, graph)
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


def elapsed(run: Run, waited: Wait) -> Event:
    """Return what it means that a time has come that the run waited for."""
    if isinstance(waited, AwaitTimer):
        return timers.elapsed(run, waited)
    return deadline_reached()


def waiting(run: Run) -> Event | None:
    """Return the event with which a run is let go of that does nothing but wait."""
    return parking.park(run) if parking.may_be_parked(run) else None


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
        unwinding=run.unwound,
    )
    match run.phase:
        case Paused(pause=pause):
            standing.state = RunStatus.STATE_PAUSED
            standing.pause.CopyFrom(pause)
        case phase if run.parked is not None and not isinstance(phase, Ended):
            standing.state = RunStatus.STATE_WAITING
            standing.waiting.CopyFrom(run.parked.waiting)
        case Ended(state, output, failure, cancel_reason):
            standing.state = state
            standing.output = output
            standing.cancel_reason = cancel_reason
            if failure is not None:
                standing.failure.CopyFrom(failure)
    if standing.state not in _AT_WORK:
        standing.spending.extend(spending.listed(run.spending))
    return standing
