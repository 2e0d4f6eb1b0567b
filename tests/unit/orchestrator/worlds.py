"""Models and tools that do whatever a seed says, and the loop of a shell among them."""

from dataclasses import dataclass
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from unit.orchestrator.story import Story, asks, breaks, errs, returns, says, simple, stepwise

from pentad.state.v1.agent_pb2 import Limits
from pentad.state.v1.event_pb2 import Event
from pentad_orchestrator import children, plan
from pentad_orchestrator.commands import (
    AwaitDeadline,
    AwaitTimer,
    Command,
    ExecuteTurn,
    InvokeTool,
    SaveSession,
    Sleep,
    StartChild,
)
from pentad_orchestrator.run import InTurn, Run

LIMITS = Limits(max_turns=8, max_tool_calls=12)
_EVENTS_MAX = 2000

thorough = settings(max_examples=300, deadline=None)


@dataclass(frozen=True)
class World:
    """Models and tools whose answers depend on nothing but a seed and on what is asked."""

    seed: int
    steps: int
    session: bool

    def story(self) -> Story:
        session_id = "s" if self.session else ""
        created = stepwise(self.steps) if self.steps else simple()
        created.spec.session_id = session_id
        created.spec.limits.CopyFrom(LIMITS)
        return Story(created)

    def outcome(self, story: Story, command: Command) -> Event:
        run = story.run
        match command:
            case ExecuteTurn():
                return self._turn(run)
            case InvokeTool(call_id):
                return self._call(call_id)
            case Sleep():
                return plan.restarted(run)
            case AwaitDeadline() | AwaitTimer():
                return plan.elapsed(run, command)
            case StartChild(key, index):
                return children.start(key, index, f"07-{key}-{index}")
            case SaveSession():
                return plan.completed(run)

    def _turn(self, run: Run) -> Event:
        assert isinstance(run.phase, InTurn)
        chance = self._chance(f"{run.turn}/{run.phase.failures}")
        kind = chance.choice(["say", "ask", "ask", "ask", "break", "give up"])
        if kind == "ask":
            return asks(run, chance.choices(["add", "sub", "none"], k=chance.randint(1, 4)))
        if kind == "say":
            return says(run, f"answer {run.turn}")
        return breaks(run, retryable=kind == "break" or chance.random() < 0.5)

    def _call(self, call_id: str) -> Event:
        chance = self._chance(call_id)
        reason = chance.choice(["", "", "TOOL_FAILED", "TOOL_ARGUMENTS_INVALID"])
        if chance.random() < 0.03:
            reason = "ARGUMENTS_CHANGED"
        return errs(call_id, reason) if reason else returns(call_id, call_id)

    def _chance(self, of: str) -> Random:
        return Random(f"{self.seed}/{of}")  # noqa: S311 - it decides what happens in a test


worlds = st.builds(
    World, seed=st.integers(0, 2**32), steps=st.integers(0, 3), session=st.booleans()
)


def play(
    world: World,
    order: Random | None = None,
    crashes: frozenset[int] = frozenset(),
    story: Story | None = None,
) -> Story:
    """Drive a run to its end; with `order`, outcomes come in any; owners die at `crashes`.

    It begins with `story`, or where every run does.
    """
    story = (story or world.story()).start()
    for number in range(_EVENTS_MAX):
        if story.run.ended:
            return story
        if number in crashes:
            story.start()
        commands = [c for c in plan.decide(story.run) if not isinstance(c, AwaitDeadline)]
        command = order.choice(commands) if order else commands[0]
        story.record(world.outcome(story, command))
    raise AssertionError("the run does not end")


def ending(story: Story) -> tuple[str, str, str]:
    status = plan.status(story.run)
    return story.kinds[-1], status.output, status.failure.reason
