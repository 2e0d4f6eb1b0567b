"""Runs that wait for a time, and what being let go of means to them, case by case."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from unit.orchestrator.story import START_S, Story, returns, says
from unit.orchestrator.waits import CALL, calling, decided, ended, outcome, starts, timers
from unit.orchestrator.waits import begun as started
from unit.orchestrator.waits import elapse as let_pass

from pentad.state.v1.run_pb2 import RunStatus, Waiting
from pentad_orchestrator import plan
from pentad_orchestrator.commands import AwaitDeadline, AwaitTimer
from pentad_orchestrator.fold import UnexpectedEvent

DEADLINE_S = START_S + 1 + 3600


def waiting(story: Story) -> Waiting:
    """Let go of a run; return what it says it waits for."""
    event = plan.waiting(story.run)
    assert event is not None
    story.add(event)
    status = plan.status(story.run)
    assert status.state == RunStatus.STATE_WAITING
    return status.waiting


def until(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds))


def test_a_sleep_waits_for_its_time_and_goes_on() -> None:
    story = calling("sleep", seconds=90)

    assert story.kinds[-2:] == ["tool_call_started", "timer_started"]
    at_s = story.events[2].time.seconds + 90 + 1
    assert plan.decide(story.run) == (AwaitTimer(CALL, at_s), AwaitDeadline(DEADLINE_S))
    let_pass(story.wait(90), timers(story.run)[0])
    assert story.kinds[-3:] == ["timer_fired", "tool_call_completed", "turn_started"]
    assert outcome(story) == "The time has come."


def test_a_sleep_may_be_until_a_time() -> None:
    assert timers(calling("sleep", until="2027-01-15T10:00:00+01:00").run) == [
        AwaitTimer(CALL, 1_800_003_600)
    ]


def test_a_time_that_is_past_is_now() -> None:
    story = calling("sleep", until="2020-01-01T00:00:00Z")

    assert timers(story.run)[0].at_s <= story.events[-1].time.seconds


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "give either seconds or until"),
        ({"seconds": 1, "until": "2027-01-15T10:00:00Z"}, "give either seconds or until"),
        ({"seconds": 0}, "seconds: Input should be greater than 0"),
        ({"seconds": 3e6}, "seconds: Input should be less than or equal to 2592000"),
        ({"until": "2027-01-15T10:00:00"}, "until: Input should have timezone info"),
        ({"until": "2028-01-15T10:00:00Z"}, "until: must be within the next 30 days"),
    ],
)
def test_a_sleep_without_a_time_goes_back_to_the_model(
    arguments: dict[str, Any], problem: str
) -> None:
    story = calling("sleep", **arguments)

    assert outcome(story) == f"TOOL_ARGUMENTS_INVALID: {problem}"
    assert not timers(story.run)


def test_a_timer_fires_once() -> None:
    story = calling("sleep", also="sub", seconds=5)
    let_pass(story, timers(story.run)[0])

    assert story.kinds[-1] == "tool_call_completed"
    with pytest.raises(UnexpectedEvent):
        plan.evolve(story.run, story.events[-2])


def test_a_run_that_waits_for_people_wakes_when_nobody_may_decide_any_more() -> None:
    story = calling("ask_human", question="Which?")
    since_s = story.events[2].time.seconds
    told = waiting(story)

    assert told.approval_ids == [f"07-run/{CALL}"]
    assert told.wake_time == until(since_s + 1 + 7 * 24 * 3600)


def test_a_run_that_sleeps_wakes_by_itself_and_not_past_its_deadline() -> None:
    story = calling("sleep", seconds=90)
    assert waiting(story).wake_time == until(timers(story.run)[0].at_s)
    assert waiting(calling("sleep", seconds=4000)).wake_time == until(DEADLINE_S)


def test_a_run_that_waits_for_others_alone_is_told_when_they_end() -> None:
    story = calling("agent_helper", input="x")
    story.record(started(starts(story.run)[0]))
    told = waiting(story)

    assert told.child_run_ids == [f"07-{CALL}-0"]
    assert not told.HasField("wake_time")


@pytest.mark.parametrize(
    ("tool", "arguments", "stood_s"),
    [("ask_human", {"question": "Which?"}, 1001), ("sleep", {"seconds": 2000}, 0)],
)
def test_the_wall_time_stands_still_for_people_and_not_for_times(
    tool: str, arguments: dict[str, Any], stood_s: int
) -> None:
    story = calling(tool, **arguments)
    waiting(story)
    story.wait(1000).start()

    assert story.run.deadline_s == DEADLINE_S + stood_s
    assert plan.status(story.run).state == RunStatus.STATE_RUNNING


def test_it_stands_still_for_other_runs() -> None:
    story = calling("agent_helper", input="x")
    story.record(started(starts(story.run)[0]))
    waiting(story)
    story.wait(1000).start().record(ended(output="y"))

    assert story.run.deadline_s == DEADLINE_S + 1001
    assert story.kinds[-1] == "turn_started"


def test_a_run_with_something_in_hand_is_not_let_go_of() -> None:
    assert plan.waiting(Story().start().run) is None
    story = calling("sub")
    assert plan.waiting(story.run) is None
    story.record(returns(CALL)).record(says(story.run, "done"))
    assert plan.waiting(story.run) is None


def test_an_owner_that_lets_go_has_got_on() -> None:
    story = calling("ask_human", question="Which?").start(lost=True).start(lost=True)
    assert story.run.owners_lost == 2
    waiting(story)

    assert story.run.owners_lost == 0


def test_a_run_that_was_let_go_of_can_be_paused_and_cancelled() -> None:
    story = calling("ask_human", question="Which?")
    waiting(story)
    story.start(pause="lunch")
    assert plan.status(story.run).state == RunStatus.STATE_PAUSED

    story.resume().record(decided(answer="1"))
    assert outcome(story) == "1"
    end = plan.cancelled(story.run, "enough")
    assert end is not None
    story.add(end)
    assert plan.status(story.run).state == RunStatus.STATE_CANCELLED


def test_a_cancel_of_a_run_that_nobody_holds_ends_it() -> None:
    story = calling("sleep", seconds=90)
    waiting(story)
    story.start()
    end = plan.cancelled(story.run, "enough")
    assert end is not None
    story.add(end)

    assert plan.decide(story.run) == ()
    assert not plan.status(story.run).HasField("waiting")
