"""Whatever models and tools do, and wherever owners die: the promises of a run hold."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from unit.orchestrator.story import Story, asks, returns, simple
from unit.orchestrator.worlds import LIMITS, World, ending, play, thorough, worlds

from pentad.state.v1.agent_pb2 import Limits
from pentad_orchestrator import plan
from pentad_orchestrator.commands import SaveSession


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
        story.record(returns(f"0.{story.run.turn}.0", f"{story.run.turn}"))
    sizes = [event.ByteSize() for event in story.events[1:]]

    assert sum(sizes[-400:]) < 1.2 * sum(sizes[400:800])
