"""Runs that stop for a person, case by case."""

import pytest
from unit.orchestrator.story import (
    START_S,
    Story,
    asks,
    breaks,
    errs,
    returns,
    says,
    simple,
    stepwise,
    unknown,
)

from pentad.state.v1.event_pb2 import Event, RunPaused, RunResumed
from pentad.state.v1.message_pb2 import Payload, ToolCall
from pentad.state.v1.run_pb2 import Pause, RunStatus, Settlement
from pentad_orchestrator import plan, toolcalls
from pentad_orchestrator.commands import AwaitDeadline, ExecuteTurn, InvokeTool, Sleep
from pentad_orchestrator.fold import UnexpectedEvent

WALL_S = 3600.0


def parked(*tools: str) -> Story:
    """Return a run that waits for a person, because of its first call."""
    story = Story().start()
    story.record(asks(story.run, tools or ("add",)))
    return story.record(unknown("0.1.0"))


def result(call_id: str, text: str) -> Settlement:
    return Settlement(call_id=call_id, result=Payload(text=text))


def test_a_run_paused_between_a_turn_and_its_calls_goes_on_with_them() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add"]), pause="lunch")

    assert story.kinds[-2:] == ["turn_completed", "run_paused"]
    assert plan.decide(story.run) == plan.follow_up(story.run) == ()
    status = plan.status(story.run)
    assert status.state == RunStatus.STATE_PAUSED
    assert (status.pause.reason, status.pause.message) == ("PAUSE_REQUESTED", "lunch")

    story.resume()
    assert story.kinds[-3:] == ["run_started", "run_resumed", "tool_call_started"]
    assert plan.status(story.run).state == RunStatus.STATE_RUNNING
    assert not plan.status(story.run).HasField("pause")


def test_a_run_paused_before_its_first_turn_begins_with_it() -> None:
    story = Story(stepwise(2)).start(pause="")
    assert story.kinds == ["run_created", "run_started", "run_paused"]

    story.resume()
    assert plan.decide(story.run)[0] == ExecuteTurn(turn=1, attempt=1)


def test_a_pause_that_nobody_journalled_changes_nothing() -> None:
    """A run may be asked to pause and to go on again before anybody has it."""
    story = Story().resume()

    assert story.kinds == ["run_created", "run_started", "run_resumed", "turn_started"]
    assert story.run.paused_s == 0.0


def test_a_turn_cut_short_by_a_crash_is_restarted_after_the_pause_and_not_before() -> None:
    story = Story().start()
    story.start(pause="look")
    assert story.kinds[-2:] == ["run_started", "run_paused"]

    story.resume()
    assert story.kinds[-1] == "turn_restarted"


def test_a_pause_before_another_attempt_is_no_attempt() -> None:
    story = Story().start()
    story.record(breaks(story.run), pause="look")
    story.resume()

    sleep = plan.decide(story.run)[0]
    assert isinstance(sleep, Sleep)
    assert (sleep.turn, sleep.attempt) == (1, 1)


def test_an_answer_is_not_held_back() -> None:
    story = Story().start()
    story.record(says(story.run, "five"), pause="too late")
    assert story.kinds[-1] == "run_completed"

    story = Story(simple(session_id="s")).start()
    story.record(says(story.run, "five"), pause="too late")
    assert story.kinds[-1] == "turn_completed"


def test_the_wall_time_stands_still_in_a_pause() -> None:
    story = Story().start()
    story.add(asks(story.run, ["add"]))
    story.record(pause="")
    paused_at_s = START_S + len(story.events)
    story.wait(10_000).resume()
    resumed_at_s = story.events[-2].time.seconds

    assert resumed_at_s - paused_at_s > 10_000
    deadline = AwaitDeadline(START_S + 1 + WALL_S + resumed_at_s - paused_at_s)
    assert plan.decide(story.run) == (InvokeTool("0.1.0"), deadline)


def test_the_wall_time_of_a_delayed_run_begins_with_its_start() -> None:
    created = simple()
    created.spec.start_time.FromSeconds(START_S + 1000)
    story = Story(created).wait(1000).start()

    assert plan.decide(story.run)[-1] == AwaitDeadline(START_S + 1000 + WALL_S)


def test_a_clock_that_went_back_takes_no_time_away() -> None:
    story = Story().start(pause="").wait(-100).resume()

    assert story.run.paused_s == 0.0


def test_a_paused_run_can_be_cancelled() -> None:
    story = parked()
    story.add(plan.cancelled(story.run, "enough") or Event())

    assert plan.status(story.run).state == RunStatus.STATE_CANCELLED
    assert plan.follow_up(story.run) == ()


def test_an_owner_that_has_nothing_to_do_leaves_a_paused_run_paused() -> None:
    story = parked().start()

    assert story.kinds[-1] == "run_started"
    assert plan.status(story.run).state == RunStatus.STATE_PAUSED


def test_an_unknown_effect_parks_the_run_and_says_which_call_it_was() -> None:
    story = Story().start()
    wish = ToolCall(call_id="0.1.0", tool="add", arguments=Payload(text='{"a": 2}'))
    asked = asks(story.run, ["add"])
    asked.turn_completed.message.tool_calls[0].CopyFrom(wish)
    story.record(asked)
    story.record(unknown("0.1.0"))

    assert story.kinds[-2:] == ["effect_unknown", "run_paused"]
    pause = plan.status(story.run).pause
    assert pause.reason == "EFFECT_OUTCOME_UNKNOWN"
    assert "add (0.1.0)" in pause.message
    (effect,) = pause.unknown_effects
    assert (effect.call_id, effect.tool, effect.arguments.text) == ("0.1.0", "add", '{"a": 2}')


def test_a_pause_does_not_repeat_arguments_that_are_large() -> None:
    story = Story().start()
    asked = asks(story.run, ["add"])
    asked.turn_completed.message.tool_calls[0].arguments.text = "x" * 100_000
    story.record(asked)
    story.record(unknown("0.1.0"))

    assert story.events[-1].ByteSize() < 1000


def test_calls_in_hand_end_first_and_no_other_is_begun() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add"] * (toolcalls.CALLS_AT_ONCE + 1)))
    story.record(unknown("0.1.3"))
    assert story.kinds[-1] == "effect_unknown"
    assert InvokeTool("0.1.3") not in plan.decide(story.run)

    for number in range(toolcalls.CALLS_AT_ONCE):
        if number != 3:
            assert not story.run.paused
            story.record(returns(f"0.1.{number}"))
    assert story.run.paused
    assert story.kinds.count("tool_call_started") == toolcalls.CALLS_AT_ONCE


def test_a_result_that_was_found_out_is_the_calls_outcome() -> None:
    story = parked().resume(result("0.1.0", "it was five"))

    assert story.kinds[-4:] == ["run_started", "run_resumed", "tool_call_completed", "turn_started"]
    assert story.run.messages[-1].text == "it was five"
    assert story.run.tool_calls == 1


def test_a_call_that_was_settled_is_not_asked_for_whatever_is_journalled_when() -> None:
    story = parked()
    story.add(Event(run_resumed=RunResumed(settlements=[result("0.1.0", "five")])))

    assert InvokeTool("0.1.0") not in plan.decide(story.run)


def test_a_failure_that_was_found_out_goes_to_the_model() -> None:
    story = parked().resume(Settlement(call_id="0.1.0", failure="the bank refused"))

    assert story.run.messages[-1].text == "TOOL_FAILED: the bank refused"
    assert story.run.messages[-1].failed


def test_a_call_that_did_not_take_place_is_made_and_its_runner_told() -> None:
    story = parked().resume(Settlement(call_id="0.1.0", not_done=True))

    assert plan.decide(story.run)[0] == InvokeTool("0.1.0", not_done_up_to=1)
    story.record(returns("0.1.0"))
    assert story.kinds[-1] == "turn_started"


def test_the_next_owner_says_the_same_and_the_ledger_knows_of_attempts_since() -> None:
    story = parked().resume(Settlement(call_id="0.1.0", not_done=True))
    story.start(lost=True)

    assert plan.decide(story.run)[0] == InvokeTool("0.1.0", not_done_up_to=1)
    story.record(unknown("0.1.0", attempt=2))
    assert story.run.paused
    story.resume(Settlement(call_id="0.1.0", not_done=True))
    assert plan.decide(story.run)[0] == InvokeTool("0.1.0", not_done_up_to=2)


def test_what_was_found_out_of_another_attempt_settles_nothing() -> None:
    story = parked()
    assert plan.status(story.run).pause.unknown_effects[0].attempt == 1

    assert story.resume(Settlement(call_id="0.1.0", attempt=2, not_done=True)).run.paused
    assert not story.resume(Settlement(call_id="0.1.0", attempt=1, not_done=True)).run.paused


def test_what_nobody_settled_parks_the_run_again() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add", "sub"]))
    story.record(unknown("0.1.0"))
    story.record(unknown("0.1.1"))
    story.resume(result("0.1.1", "done"), result("0.9.9", "of no call"))

    assert story.kinds[-3:] == ["run_resumed", "tool_call_completed", "run_paused"]
    assert [e.call_id for e in plan.status(story.run).pause.unknown_effects] == ["0.1.0"]


@pytest.mark.parametrize(
    "nothing", [Settlement(call_id="0.1.0"), Settlement(call_id="0.1.0", not_done=False)]
)
def test_a_settlement_that_says_nothing_settles_nothing(nothing: Settlement) -> None:
    assert parked().resume(nothing).run.paused


def test_a_settlement_stands_even_if_the_run_is_paused_again_at_once() -> None:
    story = parked("add", "add").record(returns("0.1.1"))
    story.resume(result("0.1.0", "five"), pause="not yet")

    assert story.kinds[-3:] == ["run_resumed", "tool_call_completed", "run_paused"]
    assert plan.status(story.run).pause.reason == "PAUSE_REQUESTED"


def test_a_pause_by_request_names_unknown_effects_too() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add", "sub"]))
    story.record(unknown("0.1.0"))
    story.start(pause="look")

    assert plan.status(story.run).pause.reason == "EFFECT_OUTCOME_UNKNOWN"
    story.resume(result("0.1.0", "five"))
    assert plan.decide(story.run)[0] == InvokeTool("0.1.1")


def test_an_outcome_is_unknown_only_while_it_is() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add", "sub"]))
    story.record(returns("0.1.0"))

    with pytest.raises(UnexpectedEvent):
        story.add(unknown("0.1.0"))


def test_a_paused_run_is_not_paused_twice() -> None:
    story = parked()
    assert plan.paused(story.run, "again") is None

    with pytest.raises(UnexpectedEvent):
        story.add(Event(run_paused=RunPaused(pause=Pause())))


def test_going_on_without_a_pause_is_no_event_to_fear() -> None:
    story = Story().start()
    story.add(Event(run_resumed=RunResumed()))

    assert plan.decide(story.run)[0] == ExecuteTurn(turn=1, attempt=1)


def test_a_run_on_which_owners_die_is_given_up_with_their_number() -> None:
    story = Story().start()
    for _ in range(plan.OWNERS_LOST_MAX - 1):
        story.start(lost=True)
        assert story.kinds[-1] == "turn_restarted"
    story.start(lost=True)

    failure = plan.status(story.run).failure
    assert failure.reason == "RUN_POISONED"
    assert dict(failure.metadata) == {"owners_lost": "5"}
    assert plan.decide(story.run) == ()


def test_owners_that_hand_a_run_on_do_not_count() -> None:
    story = Story().start()
    for _ in range(20):
        story.start()

    assert not story.run.ended


@pytest.mark.parametrize("outcome", ["turn", "call", "step"])
def test_a_run_that_gets_on_is_not_poisonous(outcome: str) -> None:
    story = Story(stepwise(2)).start()
    for _ in range(plan.OWNERS_LOST_MAX - 1):
        story.start(lost=True)
    story.record(says(story.run, "one") if outcome == "step" else asks(story.run, ["add", "sub"]))
    if outcome == "call":
        for _ in range(plan.OWNERS_LOST_MAX - 1):
            story.start(lost=True)
        story.record(errs("0.1.0"))
    story.start(lost=True)

    assert story.run.owners_lost == 1
    assert not story.run.ended


def test_a_run_that_kills_its_owners_when_it_has_its_answer_is_given_up_too() -> None:
    story = Story(simple(session_id="s")).start()
    story.record(says(story.run, "five"))
    for _ in range(plan.OWNERS_LOST_MAX):
        story.start(lost=True)

    assert plan.status(story.run).failure.reason == "RUN_POISONED"
