"""Whatever models and tools do, and wherever owners die: the promises of a run hold."""

from collections import Counter
from dataclasses import dataclass
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.orchestrator.story import Story, asks, breaks, errs, returns, says, simple, stepwise

from pentad.state.v1.agent_pb2 import Limits
from pentad.state.v1.event_pb2 import Event
from pentad_orchestrator import plan
from pentad_orchestrator.commands import (
    AwaitDeadline,
    Command,
    ExecuteTurn,
    InvokeTool,
    SaveSession,
    Sleep,
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
            case AwaitDeadline():
                return plan.deadline_reached()
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
            reason = "EFFECT_OUTCOME_UNKNOWN"
        return errs(call_id, reason) if reason else returns(call_id, call_id)

    def _chance(self, of: str) -> Random:
        return Random(f"{self.seed}/{of}")  # noqa: S311 - it decides what happens in a test


worlds = st.builds(
    World, seed=st.integers(0, 2**32), steps=st.integers(0, 3), session=st.booleans()
)


def play(world: World, order: Random | None = None, crashes: frozenset[int] = frozenset()) -> Story:
    """Drive a run to its end; with `order`, outcomes come in any; owners die at `crashes`."""
    story = world.story().start()
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


@thorough
@given(worlds, st.randoms(use_true_random=False))
def test_every_run_ends_within_its_limits(world: World, order: Random) -> None:
    story = play(world, order)

    assert story.kinds[-1] in {"run_completed", "run_failed"}
    assert story.kinds.count("turn_started") <= LIMITS.max_turns
    assert story.kinds.count("tool_call_started") <= LIMITS.max_tool_calls


@thorough
@given(worlds, st.frozensets(st.integers(0, 60)))
def test_crashes_change_nothing_about_the_end(world: World, crashes: frozenset[int]) -> None:
    assert ending(play(world, crashes=crashes)) == ending(play(world))


@thorough
@given(worlds, st.randoms(use_true_random=False), st.frozensets(st.integers(0, 60)))
def test_nothing_starts_twice_without_saying_so(
    world: World, order: Random, crashes: frozenset[int]
) -> None:
    story = play(world, order, crashes)

    turns = Counter(e.turn_started.turn for e in story.events if e.HasField("turn_started"))
    calls = Counter(
        e.tool_call_started.call_id for e in story.events if e.HasField("tool_call_started")
    )
    restarts = Counter(
        (e.turn_restarted.turn, e.turn_restarted.attempt)
        for e in story.events
        if e.HasField("turn_restarted")
    )
    assert all(count == 1 for counter in (turns, calls, restarts) for count in counter.values())


@thorough
@given(worlds, st.randoms(use_true_random=False), st.integers(0, 60))
def test_a_run_is_its_journal(world: World, order: Random, cut: int) -> None:
    """Folding a part and going on gives what folding all of it gives; decisions agree."""
    story = play(world, order)
    first = story.events[: 1 + cut % len(story.events)]
    run = plan.fold(first)
    for event in story.events[len(first) :]:
        assert plan.decide(run) == plan.decide(run)
        run = plan.evolve(run, event)

    assert run == story.run == plan.fold(story.events)
    assert run.last_seq == len(story.events)


@thorough
@given(worlds, st.randoms(use_true_random=False), st.integers(0, 60), st.booleans())
def test_a_run_can_be_stopped_at_any_point(
    world: World,
    order: Random,
    cut: int,
    by_caller: bool,
) -> None:
    events = play(world, order).events
    run = plan.fold(events[: 2 + cut % (len(events) - 1)])
    if run.ended:
        return
    stop = plan.cancelled(run, "enough") if by_caller else plan.deadline_reached()
    if stop is None:
        assert plan.decide(run) == (SaveSession(),) or plan.follow_up(run)
        return
    run = plan.evolve(run, stop)
    for event in plan.follow_up(run):
        run = plan.evolve(run, event)

    assert run.ended
    assert plan.decide(run) == ()


@thorough
@given(worlds, st.randoms(use_true_random=False), st.integers(0, 60))
def test_draining_begins_nothing(world: World, order: Random, cut: int) -> None:
    events = play(world, order).events
    run = plan.fold(events[: 1 + cut % len(events)])
    following = plan.follow_up(run, may_start=False)

    starts = {"turn_started", "turn_restarted", "tool_call_started"}
    assert not starts & {str(event.WhichOneof("kind")) for event in following}
    assert plan.follow_up(run)[: len(following)] == following


def test_a_journal_grows_with_its_run_and_not_with_the_square() -> None:
    """Every turn holds only what is new."""
    story = Story(simple(Limits(max_turns=1000, max_tool_calls=10_000))).start()
    while story.run.turn < 800:
        story.record(asks(story.run, ["add"]))
        story.record(returns(f"0.{story.run.turn}.0"))
    sizes = [event.ByteSize() for event in story.events[1:]]

    assert sum(sizes[-400:]) < 1.2 * sum(sizes[400:800])
