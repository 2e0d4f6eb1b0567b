"""A fork at any event goes on by itself: it holds nothing of the other run's, and ends."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.orchestrator import test_graph_properties as graphs
from unit.orchestrator import waiting_worlds, worlds
from unit.orchestrator.story import Story, asks, returns, says, simple
from unit.orchestrator.waiting_worlds import Course, WaitingWorld
from unit.orchestrator.worlds import LIMITS, World, thorough

from pentad.state.v1.event_pb2 import Event, Fork, RunForked
from pentad_orchestrator import outbox, plan
from pentad_orchestrator.commands import ExecuteTurn, InvokeTool
from pentad_orchestrator.fold import UnexpectedEvent
from pentad_orchestrator.run import Calling, Finishing, InTurn, Paused, Queued, Run

HOUR_S = 3600
CUTS = st.integers(0, 500)
ORDERS = st.randoms(use_true_random=False)


def fork(story: Story, seq: int) -> Story:
    """Return the run that begins with the first events of another, an hour later."""
    first, *others = story.events[:seq]
    forked = Story(first.run_created)
    forked.events[0].time.CopyFrom(first.time)
    forked.run = plan.begin(forked.events[0])
    for event in others:
        # As they were, times and all.
        forked.events.append(event)
        forked.run = plan.evolve(forked.run, event)
    told = RunForked(fork=Fork(run_id="07-other", seq=seq), last_time=story.events[seq - 1].time)
    late = Event(run_id="07-run", seq=seq + 1, run_forked=told)
    late.time.seconds = told.last_time.seconds + HOUR_S
    forked.events.append(late)
    forked.run = plan.evolve(forked.run, late)
    return forked.wait(HOUR_S + told.last_time.seconds - story.events[0].time.seconds)


def cut_of(story: Story, cut: int) -> int:
    """Return a place of a journal that is not its end."""
    return 1 + cut % (len(story.events) - 1)


def holds_nothing(run: Run) -> None:
    """Assert that nothing of the run is in anybody's hands."""
    assert (run.attempt, run.fence, run.owners_lost) == (0, 0, 0)
    assert run.parked is None
    assert not run.paused
    assert not run.approvals
    assert not run.timers
    assert all(child.status is not None for child in run.children.values())
    begun = [c for c in plan.decide(run) if isinstance(c, InvokeTool)]
    assert not begun


def stood_still(story: Story, seq: int, run: Run) -> None:
    """Assert that the hour in between took nothing of the wall time."""
    before = plan.fold(story.events[:seq])
    assert run.deadline_s >= before.deadline_s + HOUR_S


@thorough
@given(worlds.worlds, ORDERS, CUTS)
def test_a_run_of_an_agent(world: World, order: Random, cut: int) -> None:
    story = worlds.play(world, order)
    seq = cut_of(story, cut)
    forked = fork(story, seq)

    holds_nothing(forked.run)
    stood_still(story, seq, forked.run)
    done = {e.tool_call_completed.call_id for e in story.events[:seq]}
    ended = worlds.play(world, order, story=forked)

    assert ended.kinds[-1] in {"run_completed", "run_failed"}
    later = Counter(e.tool_call_started.call_id for e in ended.events[seq + 1 :])
    later.pop("", None)
    assert all(count == 1 for count in later.values()), "begun anew once"
    assert not done & set(later), "what had its outcome keeps it"
    assert plan.fold(ended.events) == ended.run
    assert ended.run.calls_started <= LIMITS.max_tool_calls
    assert ended.kinds.count("turn_started") <= LIMITS.max_turns


@thorough
@given(
    st.builds(WaitingWorld, seed=st.integers(0, 2**32), steps=st.just(0), session=st.just(False)),
    ORDERS,
    CUTS,
)
def test_a_run_that_waits(world: WaitingWorld, order: Random, cut: int) -> None:
    story = waiting_worlds.play(world, Course(order=order)).story
    seq = cut_of(story, cut)
    forked = fork(story, seq)

    holds_nothing(forked.run)
    stood_still(story, seq, forked.run)
    played = waiting_worlds.play(world, Course(order=order), forked)

    assert played.story.run.ended
    assert all(count == 1 for count in played.created.values())
    assert plan.fold(played.story.events) == played.story.run


@thorough
@given(graphs.worlds, ORDERS, CUTS)
def test_a_run_of_a_graph(world: graphs.World, order: Random, cut: int) -> None:
    story = graphs.play(world, order)
    seq = cut_of(story, cut)
    forked = fork(story, seq)

    holds_nothing(forked.run)
    stood_still(story, seq, forked.run)
    ended = graphs.play(world, order, story=forked)

    assert ended.run.ended
    assert plan.fold(ended.events) == ended.run


def test_a_fork_of_a_fork() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add"]))
    again = fork(fork(story, 3), 4)

    again.start()
    again.record(says(again.run, "no"))

    assert again.kinds[-3:] == ["turn_restarted", "turn_completed", "run_completed"]


def test_a_turn_in_progress_is_taken_anew() -> None:
    forked = fork(Story().start(), 3)

    assert isinstance(forked.run.phase, InTurn)
    forked.start()

    assert forked.kinds[3:] == ["run_forked", "run_started", "turn_restarted"]
    assert any(isinstance(c, ExecuteTurn) for c in plan.decide(forked.run))


def test_a_call_without_an_outcome_is_begun_anew_and_counts_once() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add", "sub"]))
    story.record(returns("0.1.0"))
    forked = fork(story, len(story.events))

    assert isinstance(forked.run.phase, Calling)
    assert [call.started for call in forked.run.phase.calls] == [True, False]
    assert forked.run.calls_started == 1
    forked.start()

    assert forked.run.calls_started == 2
    assert [c.call_id for c in plan.decide(forked.run) if isinstance(c, InvokeTool)] == ["0.1.1"]


def test_a_pause_is_over() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add"]), pause="a rest")
    assert isinstance(story.run.phase, Paused)

    forked = fork(story, len(story.events))

    assert not forked.run.paused
    assert forked.start().kinds[-1] == "tool_call_started"


def test_a_run_that_never_began_begins() -> None:
    forked = fork(Story(simple(session_id="s")).start(), 1)

    assert isinstance(forked.run.phase, Queued)


def test_an_answer_is_kept_and_its_session_too() -> None:
    story = Story(simple(session_id="s")).start()
    story.record(says(story.run, "42"))
    forked = fork(story, len(story.events))

    assert forked.run.phase == Finishing("42")


def test_nothing_follows_an_end() -> None:
    story = Story().start()
    story.record(says(story.run, "42"))

    with pytest.raises(UnexpectedEvent):
        fork(story, len(story.events))


def test_webhooks_are_not_told_again_what_they_were_told_of_the_other_run() -> None:
    made = simple()
    made.spec.callbacks.append("hook")
    made.forked_from.seq = 3
    told = Story(made).start()
    told.record(says(told.run, "42"))

    (job,) = outbox.jobs_after(told.run, plan.status(told.run))

    assert job.deliver_webhook.delivered_seq == 3
