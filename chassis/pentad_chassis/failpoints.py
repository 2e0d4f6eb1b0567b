"""Named points at which a test makes a process die, fail or wait: every arrow of a run's life.

Nothing is armed in production: a point then costs one look-up. They are armed by the environment,
`PENTAD_FAILPOINTS="orchestrator.append.after=kill@3;tools.begin.before=raise;tools.extend.before=delay:0.5"`,
or by a test in the same process with `armed`. An action is one of

- `kill`: the process dies at once, as by `kill -9`;
- `raise`: the point raises Unavailable with the reason FAILPOINT;
- `delay:SECONDS`: the point waits.

With `@N` it happens the Nth time that the point is reached, and only then; without, every time.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from pentad_chassis.errors import Unavailable

VARIABLE = "PENTAD_FAILPOINTS"

POINTS: Mapping[str, str] = {
    "orchestrator.adopt.before": "runs are claimed, and nobody works on them yet",
    "orchestrator.adopt.after": "work on claimed runs has begun",
    "orchestrator.append.before": "events are decided, and not sent yet",
    "orchestrator.append.after": "events are journalled, and their owner has not heard it yet",
    "orchestrator.renew.before": "leases are to be renewed",
    "orchestrator.renew.after": "leases are renewed, and their owner has not heard it yet",
    "orchestrator.release.before": "runs are at rest, and held still",
    "orchestrator.release.after": "runs are handed back",
    "orchestrator.turn.before": "a turn is journalled as started, and no executor has it yet",
    "orchestrator.turn.after": "a turn has its result, which is not journalled yet",
    "orchestrator.invoke.before": "a call is journalled as started, and no runner has it yet",
    "orchestrator.invoke.after": "a call has its outcome, which is not journalled yet",
    "orchestrator.enter.before": "a run is to enter its session",
    "orchestrator.enter.after": "a run is at its session, and its journal does not say so yet",
    "orchestrator.keep.before": "a session lacks what an interrupted run had done",
    "orchestrator.keep.after": "a session holds it, and the run that interrupted has not begun",
    "orchestrator.child.before": "a run is to start another, which is not created yet",
    "orchestrator.child.after": "a child is created, and its parent's journal does not say so yet",
    "orchestrator.session.before": "a run has its answer, which its session lacks",
    "orchestrator.session.after": "a session holds a run's answer, and the run has not ended yet",
    "orchestrator.job.before": "a job is claimed, and nothing of it is done yet",
    "orchestrator.job.after": "a job is done, and the store does not know it yet",
    "orchestrator.fire.before": "a time of a schedule is to start a run, which is not created yet",
    "orchestrator.fire.after": "a schedule's run is created, and the schedule does not say so yet",
    "tools.begin.before": "a call is valid, and not in the ledger yet",
    "tools.begin.after": "a call is in the ledger, and has not run yet",
    "tools.execute.before": "a call is about to run",
    "tools.execute.after": "a call has run, and nobody knows it yet",
    "tools.complete.before": "a call's outcome is about to be recorded",
    "tools.complete.after": "a call's outcome is recorded, and nobody was told yet",
    "tools.extend.before": "a sign of life is due",
    "tools.extend.after": "a sign of life was given",
    "state.run_append.before": "events have arrived, and the store lacks them",
    "state.run_append.after": "the store has events, and their owner was not told yet",
    "state.run_append_all.before": "events have arrived that end a run, let it wait or change more",
    "state.run_append_all.after": "the store has all of that, and their owner was not told yet",
    "state.run_claim.before": "a run is about to be handed to an owner",
    "state.run_claim.after": "a run has an owner, which was not told yet",
    "state.run_renew.before": "leases are about to be extended",
    "state.run_renew.after": "leases are extended, and their owner was not told yet",
    "state.run_release.before": "runs are about to be given back",
    "state.run_release.after": "runs wait in the schedule again, and their owner was not told yet",
    "state.session_enter.before": "a run is about to be let into its session",
    "state.session_enter.after": "a run is at its session, or in line, and was not told yet",
    "state.session_append.before": "messages have arrived, and the store lacks them",
    "state.session_append.after": "the store has messages, the run has left, and was not told yet",
    "state.effect_begin.before": "a call is about to be entered",
    "state.effect_begin.after": "a call is entered, and its runner was not told yet",
    "state.effect_complete.before": "an outcome has arrived, and the store lacks it",
    "state.effect_complete.after": "the store has an outcome, and its runner was not told yet",
}
"""Every point there is, and what is true at it."""

Action = Callable[[], Awaitable[None]]


class FailpointInvalid(ValueError):
    """What is to be armed is no known point, or no known action."""


class FailpointReached(Unavailable):
    """A test wants this call to fail here."""

    reason = "FAILPOINT"

    def __init__(self, name: str) -> None:
        super().__init__(f"failpoint {name}", failpoint=name)


async def failpoint(name: str) -> None:
    """Do what is armed at a point; nothing, as a rule."""
    action = _armed.get(name)
    if action is not None:
        await action()


@contextmanager
def armed(actions: Mapping[str, str | Action]) -> Iterator[Counter[str]]:
    """Arm points of this process inside the block; yield how often each was reached.

    An action is a text as in the environment, or a coroutine function.
    """
    before = dict(_armed)
    reached: Counter[str] = Counter()
    _armed.update({name: _action(name, action, reached) for name, action in actions.items()})
    try:
        yield reached
    finally:
        _armed.clear()
        _armed.update(before)


def _action(name: str, wanted: str | Action, reached: Counter[str]) -> Action:
    if name not in POINTS:
        raise FailpointInvalid(f"there is no failpoint {name!r}")
    what, _, only = wanted.partition("@") if isinstance(wanted, str) else ("", "", "")
    act = _parsed(name, what) if isinstance(wanted, str) else wanted
    if only and not (only.isdecimal() and int(only)):
        raise FailpointInvalid(f"{name}: the time it is reached is a number from 1, not {only!r}")

    async def reach() -> None:
        reached[name] += 1
        if not only or reached[name] == int(only):
            await act()

    return reach


def _parsed(name: str, what: str) -> Action:
    match what.partition(":"):
        case ("kill", "", ""):
            return _kill
        case ("raise", "", ""):
            return lambda: _raise(name)
        case ("delay", ":", seconds) if seconds.replace(".", "", 1).isdecimal():
            return lambda: asyncio.sleep(float(seconds))
    raise FailpointInvalid(f"{name}: {what!r} is none of kill, raise and delay:SECONDS")


async def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _raise(name: str) -> None:
    raise FailpointReached(name)


def _from_environment() -> dict[str, Action]:
    reached: Counter[str] = Counter()
    wishes = (wish.partition("=") for wish in os.environ.get(VARIABLE, "").split(";") if wish)
    return {
        name.strip(): _action(name.strip(), action.strip(), reached) for name, _, action in wishes
    }


# Of the process and not of a service: what dies at a point is the process, with all that is in it.
_armed: dict[str, Action] = _from_environment()
