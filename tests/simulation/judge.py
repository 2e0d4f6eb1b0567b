"""What must be true once everything has calmed down."""

from typing import TYPE_CHECKING

from simulation.outside import ONCE
from simulation.people import GIVEN_UP, answer_of
from simulation.stored import Stored
from simulation.waits import judge_waits

from pentad.state.v1.event_pb2 import ToolCallCompleted
from pentad.state.v1.run_pb2 import RunStatus
from pentad_orchestrator import plan

if TYPE_CHECKING:
    from simulation.world import World

_REASONS = {
    "MODEL_UNAVAILABLE",
    "TURN_TIMEOUT",
    "TURN_LIMIT_REACHED",
    "TOOL_CALL_LIMIT_REACHED",
    "WALL_TIME_REACHED",
    "RUN_POISONED",
}
"""For these a run may fail here; any other is a defect of the suite."""


def judge(world: "World") -> None:
    """Note everything that is not as it must be."""
    for error in world.errors:
        world.watch.violated(f"an error was logged: {error[:2000]}")
    for stored in world.runs.stored.values():
        if stored.ended:
            _ending(world, stored)
            _calls(world, stored)
            judge_waits(world, stored)
        else:
            world.watch.violated(f"{stored.run.run_id} does not end: it is {_standing(stored)}")
    for what, keys in world.outside.keys.items():
        if len(keys) > 1:
            world.watch.violated(f"{what} was done under several keys: {sorted(keys)}")


def _ending(world: "World", stored: Stored) -> None:
    run_id, status = stored.run.run_id, stored.run.status
    if plan.status(plan.fold(stored.journal)) != status:
        world.watch.violated(f"{run_id}: its status is not what its journal tells")
    match status.state:
        case RunStatus.STATE_COMPLETED:
            if status.output != answer_of(run_id):
                world.watch.violated(f"{run_id} says {status.output!r}")
            _conversation(world, stored)
        case RunStatus.STATE_FAILED:
            reason = status.failure.reason
            alone = reason == "RUN_POISONED" and stored.lost < plan.OWNERS_LOST_MAX
            if reason not in _REASONS or alone:
                world.watch.violated(f"{run_id} failed: {status.failure}")
        case RunStatus.STATE_CANCELLED:
            if status.cancel_reason != stored.cancel:
                world.watch.violated(f"{run_id} was cancelled and nobody asked for it")


def _conversation(world: "World", stored: Stored) -> None:
    """A session holds a completed run's question once, and the answer right behind it.

    Of one that was rolled back it holds nothing.
    """
    run_id, spec = stored.run.run_id, stored.run.spec
    if not spec.session_id:
        return
    said = world.sessions.messages.get(spec.session_id, [])
    asked = [i for i, message in enumerate(said) if message.text == spec.input]
    if run_id in world.sessions.void:
        if asked:
            world.watch.violated(f"{run_id} was rolled back and stands in its session")
    elif len(asked) != 1 or said[asked[0] + 1].text != answer_of(run_id):
        world.watch.violated(f"{run_id} stands {len(asked)} times in its session")


def _calls(world: "World", stored: Stored) -> None:
    """An outcome that a model was told is what really happened."""
    for event in stored.journal:
        completed = event.tool_call_completed
        if not event.HasField("tool_call_completed") or completed.tool not in ONCE:
            continue
        key = f"{stored.run.run_id}/{completed.call_id}"
        expected = _expected(completed)
        if expected is not None and world.outside.effects[key] != expected:
            took_place = world.outside.effects[key]
            world.watch.violated(f"{key} took place {took_place} times, but: {completed}")


def _expected(completed: ToolCallCompleted) -> int | None:
    """Return how often a call must have taken place; None where that is not known."""
    if completed.WhichOneof("outcome") == "result":
        return 1
    return None if completed.error.message == GIVEN_UP else 0


def _standing(stored: Stored) -> str:
    state = RunStatus.State.Name(stored.state)
    last = stored.journal[-1].WhichOneof("kind")
    return f"{state} behind {last}, fence {stored.fence}, owner {stored.owner!r}"
