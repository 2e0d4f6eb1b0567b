"""What the plan decides, case by case."""

import pytest
from unit.orchestrator.story import (
    START_S,
    Story,
    asks,
    breaks,
    cut,
    errs,
    returns,
    says,
    simple,
    started,
    stepwise,
)

from pentad.state.v1.agent_pb2 import Agent, Limits
from pentad.state.v1.event_pb2 import Event, RunCancelled, StepCompleted, TurnStarted
from pentad.state.v1.message_pb2 import Usage
from pentad.state.v1.run_pb2 import RunStatus
from pentad_orchestrator import plan, toolcalls
from pentad_orchestrator.bounds import RunBounds, run_bounds, turn_bounds
from pentad_orchestrator.commands import (
    AwaitDeadline,
    ExecuteTurn,
    InvokeTool,
    SaveSession,
    Sleep,
)
from pentad_orchestrator.fold import UnexpectedEvent

DEADLINE = AwaitDeadline(START_S + 1 + 3600.0)


def test_a_run_that_nobody_took_waits() -> None:
    story = Story()

    assert plan.decide(story.run) == ()
    assert plan.follow_up(story.run) == ()
    assert plan.status(story.run).state == RunStatus.STATE_QUEUED


def test_the_first_owner_starts_a_turn_at_once() -> None:
    story = Story().start()

    assert story.kinds == ["run_created", "run_started", "turn_started"]
    assert plan.decide(story.run) == (ExecuteTurn(turn=1, attempt=1), DEADLINE)
    assert plan.status(story.run).state == RunStatus.STATE_RUNNING


def test_an_answer_ends_the_run() -> None:
    story = Story().start()
    story.record(says(story.run, "five"))

    assert story.kinds[-2:] == ["turn_completed", "run_completed"]
    assert plan.decide(story.run) == ()
    assert plan.status(story.run).output == "five"


def test_an_answer_in_a_session_is_saved_before_the_end() -> None:
    story = Story(simple(session_id="s")).start()
    story.record(says(story.run, "five"))

    assert story.kinds[-1] == "turn_completed"
    assert plan.decide(story.run) == (SaveSession(),)
    assert plan.cancelled(story.run, "too late") is None
    story.record(plan.completed(story.run))
    assert story.run.ended


def test_calls_are_started_together_and_their_results_keep_the_order_asked() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add", "sub"]))
    assert plan.decide(story.run) == (InvokeTool("0.1.0"), InvokeTool("0.1.1"), DEADLINE)

    story.record(returns("0.1.1", "second"))
    assert plan.decide(story.run) == (InvokeTool("0.1.0"), DEADLINE)
    story.record(errs("0.1.0"))

    assert plan.decide(story.run)[0] == ExecuteTurn(turn=2, attempt=1)
    _, first, second = story.run.messages
    assert (first.text, first.failed, first.model_call_id) == ("TOOL_FAILED: no", True, "m0")
    assert (second.text, second.failed, second.model_call_id) == ("second", False, "m1")


def test_only_so_many_calls_run_at_once() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add"] * 20))
    assert story.kinds.count("tool_call_started") == toolcalls.CALLS_AT_ONCE

    story.record(returns("0.1.3"))
    assert story.events[-1].tool_call_started.call_id == f"0.1.{toolcalls.CALLS_AT_ONCE}"


def test_a_tool_that_the_agent_does_not_list_is_never_called() -> None:
    story = Story().start()
    story.record(asks(story.run, ["rm_rf"]))

    assert story.kinds[-3:] == ["tool_call_started", "tool_call_completed", "turn_started"]
    assert story.run.messages[-1].text.startswith("TOOL_NOT_FOUND: agent 'clerk' has no tool")


def test_steps_follow_each_other_and_each_begins_anew() -> None:
    story = Story(stepwise(2)).start()
    story.record(asks(story.run, ["add"]))
    story.record(returns("0.1.0"))
    story.record(says(story.run, "one"))

    assert story.kinds[-3:] == ["turn_completed", "step_completed", "turn_started"]
    assert (story.run.outputs, story.run.messages) == (("one",), ())
    assert story.events[-1].turn_started.turn == 3
    story.record(says(story.run, "two"))
    assert story.kinds[-3:] == ["turn_completed", "step_completed", "run_completed"]
    assert plan.status(story.run).output == "two"


def test_a_broken_turn_is_tried_again_after_a_pause() -> None:
    story = Story().start()
    story.record(breaks(story.run))

    sleep = plan.decide(story.run)[0]
    assert isinstance(sleep, Sleep)
    assert 0 <= sleep.until_s - (START_S + 4) <= 1.0
    story.record(plan.restarted(story.run))
    assert plan.decide(story.run)[0] == ExecuteTurn(turn=1, attempt=2)


def test_a_pause_that_the_provider_asks_for_is_kept() -> None:
    story = Story().start()
    story.record(breaks(story.run, retry_after_s="7.5"))

    assert plan.decide(story.run)[0] == Sleep(1, 1, START_S + 4 + 7.5)


@pytest.mark.parametrize("metadata", ["soon", "", "1e9"])
def test_a_pause_has_a_bound_and_nonsense_is_none(metadata: str) -> None:
    story = Story().start()
    story.record(breaks(story.run, retry_after_s=metadata))

    sleep = plan.decide(story.run)[0]
    assert isinstance(sleep, Sleep)
    assert sleep.until_s <= START_S + 4 + 60.0


def test_the_third_failure_of_a_turn_ends_the_run() -> None:
    story = Story().start()
    for _ in range(2):
        story.record(breaks(story.run))
        story.record(plan.restarted(story.run))
    story.record(breaks(story.run))

    assert plan.status(story.run).failure.reason == "MODEL_UNAVAILABLE"


def test_an_executor_that_dies_is_no_failure_of_the_turn() -> None:
    story = Story().start()
    for _ in range(2):
        story.record(breaks(story.run))
        story.record(plan.restarted(story.run))
    for _ in range(plan.TURN_CUTS_MAX - 1):
        story.record(cut(story.run))
        story.record(plan.restarted(story.run))

    assert not story.run.ended
    story.record(breaks(story.run))
    assert plan.status(story.run).failure.reason == "MODEL_UNAVAILABLE"


def test_a_turn_on_which_executors_die_again_and_again_ends_the_run() -> None:
    story = Story().start()
    for _ in range(plan.TURN_CUTS_MAX - 1):
        story.record(cut(story.run))
        story.record(plan.restarted(story.run))
    story.record(cut(story.run))

    assert plan.status(story.run).failure.reason == "UNAVAILABLE"


def test_a_failure_that_no_repeat_would_mend_ends_the_run_at_once() -> None:
    story = Story().start()
    story.record(breaks(story.run, retryable=False))

    assert story.kinds[-2:] == ["turn_failed", "run_failed"]


def test_a_crash_is_no_failure_of_the_turn() -> None:
    story = Story().start()
    for owner in range(2, 8):
        story.start()
        assert story.kinds[-2:] == ["run_started", "turn_restarted"]
        assert plan.decide(story.run)[0] == ExecuteTurn(turn=1, attempt=owner)


def test_a_new_owner_keeps_the_pause_of_the_one_before() -> None:
    story = Story().start()
    story.record(breaks(story.run))
    before = plan.decide(story.run)
    story.start()

    assert plan.decide(story.run) == before


def test_a_new_owner_repeats_calls_in_hand_and_starts_none_twice() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add", "sub"]))
    story.record(returns("0.1.0"))
    story.start()

    assert story.kinds[-1] == "run_started"
    assert plan.decide(story.run) == (InvokeTool("0.1.1"), DEADLINE)


def test_turns_have_a_limit() -> None:
    story = Story(simple(Limits(max_turns=1))).start()
    story.record(asks(story.run, ["add"]))
    story.record(returns("0.1.0"))

    failure = plan.status(story.run).failure
    assert (failure.reason, dict(failure.metadata)) == ("TURN_LIMIT_REACHED", {"max_turns": "1"})


def test_calls_have_a_limit_and_none_of_those_beyond_begins() -> None:
    story = Story(simple(Limits(max_tool_calls=2))).start()
    story.record(asks(story.run, ["add"]))
    story.record(returns("0.1.0"))
    story.record(asks(story.run, ["add", "add"]))

    assert plan.status(story.run).failure.reason == "TOOL_CALL_LIMIT_REACHED"
    assert story.kinds.count("tool_call_started") == 1


def test_the_wall_time_has_a_limit() -> None:
    story = Story().start()
    story.record(plan.deadline_reached())

    assert story.kinds[-2:] == ["deadline_reached", "run_failed"]
    assert plan.status(story.run).failure.reason == "WALL_TIME_REACHED"


def test_invalid_arguments_go_back_to_the_model_three_times() -> None:
    story = Story().start()
    for turn in range(1, 5):
        assert not story.run.ended
        story.record(asks(story.run, ["add", "sub"]))
        story.record(errs(f"0.{turn}.0", "TOOL_ARGUMENTS_INVALID"))
        story.record(errs(f"0.{turn}.1", "TOOL_ARGUMENTS_INVALID"))

    assert plan.status(story.run).failure.reason == "TOOL_ARGUMENTS_INVALID"


def test_a_call_that_gets_through_forgives_those_before() -> None:
    story = Story().start()
    for turn in range(1, 10):
        story.record(asks(story.run, ["add"]))
        invalid = errs(f"0.{turn}.0", "TOOL_ARGUMENTS_INVALID")
        story.record(invalid if turn % 4 else returns(f"0.{turn}.0"))

    assert not story.run.ended


def test_an_unknown_outcome_ends_the_run_and_says_of_which_call() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add", "sub"]))
    story.record(errs("0.1.1", "EFFECT_OUTCOME_UNKNOWN"))

    failure = plan.status(story.run).failure
    assert failure.reason == "EFFECT_OUTCOME_UNKNOWN"
    assert dict(failure.metadata) == {"call_id": "0.1.1", "tool": "sub"}
    assert plan.decide(story.run) == ()


def test_nothing_is_begun_while_draining_but_an_end_is_an_end() -> None:
    story = Story().start()
    story.add(asks(story.run, ["add"]))
    assert plan.follow_up(story.run, may_start=False) == ()

    story = Story().start()
    story.add(says(story.run, "five"))
    (end,) = plan.follow_up(story.run, may_start=False)
    assert end.WhichOneof("kind") == "run_completed"


@pytest.mark.parametrize(
    "event",
    [
        Event(run_cancelled=RunCancelled(reason="again")),
        Event(turn_started=TurnStarted(turn=9)),
        started(2),
    ],
)
def test_nothing_follows_the_end(event: Event) -> None:
    story = Story().start()
    story.record(says(story.run, "five"))

    with pytest.raises(UnexpectedEvent):
        story.add(event)


@pytest.mark.parametrize(
    "event",
    [
        returns("0.1.0"),
        Event(turn_started=TurnStarted(turn=2)),
        Event(step_completed=StepCompleted()),
    ],
)
def test_what_cannot_have_happened_is_refused(event: Event) -> None:
    story = Story().start()

    with pytest.raises(UnexpectedEvent):
        story.add(event)


def test_an_outcome_counts_once() -> None:
    story = Story().start()
    story.record(asks(story.run, ["add", "sub"]))
    story.record(returns("0.1.0"))

    with pytest.raises(UnexpectedEvent):
        story.add(returns("0.1.0"))


def test_history_ends_where_the_first_owner_saw_it_end() -> None:
    story = Story(simple(session_id="s"))
    story.add(started(1, session_seq=4))
    story.add(started(2, session_seq=9))

    assert story.run.session_seq == 4


@pytest.mark.parametrize(
    ("usages", "total"),
    [
        ([Usage(cost_nano_usd=5), Usage(cost_nano_usd=7)], Usage(cost_nano_usd=12)),
        ([Usage(cost_nano_usd=5), Usage(input_tokens=1)], Usage(input_tokens=1)),
        ([Usage(input_tokens=1), Usage(cost_nano_usd=5)], Usage(input_tokens=1)),
        (
            [Usage(input_tokens=1, output_tokens=2, cached_input_tokens=1)] * 2,
            Usage(input_tokens=2, output_tokens=4, cached_input_tokens=2),
        ),
    ],
)
def test_usage_adds_up_and_a_cost_is_known_wholly_or_not_at_all(
    usages: list[Usage], total: Usage
) -> None:
    story = Story(stepwise(2)).start()
    for usage in usages:
        story.record(says(story.run, "x", usage))

    assert plan.status(story.run).usage == total
    assert story.events[-1].run_completed.usage == total


def test_the_smallest_limit_holds() -> None:
    created = simple(Limits(max_turns=10, max_tool_calls=99_999))
    created.agents[0].limits.CopyFrom(Limits(max_turns=20, max_tool_calls=-1))
    created.agents[0].limits.wall_time.seconds = 60

    assert run_bounds(created) == RunBounds(turns=10, tool_calls=10_000, wall_time_s=60.0)


def test_limits_have_defaults() -> None:
    assert run_bounds(simple()) == RunBounds(turns=50, tool_calls=200, wall_time_s=3600.0)
    bounds = turn_bounds(Limits(), Agent())
    assert (bounds.output_tokens, bounds.timeout_s) == (0, 120.0)
