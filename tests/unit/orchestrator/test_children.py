"""Runs that start others, case by case."""

import json
from typing import Any

import pytest
from unit.orchestrator.story import Story, asks, returns, says
from unit.orchestrator.waits import CALL, begun, calling, created, ended, outcome, starts

from pentad.state.v1.agent_pb2 import Limits
from pentad.state.v1.job_pb2 import Job
from pentad.state.v1.run_pb2 import RunStatus
from pentad_orchestrator import children, outbox, plan
from pentad_orchestrator.bounds import run_bounds

THREE: dict[str, Any] = {"inputs": ["a", "b", "c"], "parallelism": 2}


def indices(story: Story) -> list[int]:
    return [command.index for command in starts(story.run)]


def begin_all(story: Story) -> Story:
    for command in starts(story.run):
        story.record(begun(command))
    return story


def jobs(story: Story, before: int) -> list[Job]:
    """Return what the last events have others do."""
    run = plan.fold(story.events[:before])
    status = plan.status(story.run)
    return [*outbox.jobs_after(story.run, status), *outbox.cancels(run, story.run)]


def test_an_agent_has_another_one_work_and_reads_its_answer() -> None:
    story = calling("agent_helper", input="help me")
    (command,) = starts(story.run)

    assert (command.key, command.index) == (CALL, 0)
    assert (command.spec.agent, command.spec.input) == ("helper", "help me")
    assert begin_all(story).kinds[-1] == "child_started"
    assert not starts(story.run)
    story.record(ended(output="done"))
    assert story.kinds[-3:] == ["child_ended", "tool_call_completed", "turn_started"]
    assert outcome(story) == "done"


def test_a_child_gets_what_its_parent_has_left() -> None:
    made = created(limits=Limits(max_turns=4, max_tool_calls=2, max_output_tokens=7))
    made.spec.limits.wall_time.seconds = 100
    made.spec.limits.turn_timeout.seconds = 9
    made.spec.priority = 3
    story = calling("agent_helper", made, input="x")
    spec = starts(story.run)[0].spec

    assert (spec.limits.max_turns, spec.limits.max_tool_calls) == (3, 1)
    assert spec.limits.max_output_tokens == 7
    assert spec.limits.wall_time.seconds == 100 - (len(story.events) - 1)
    assert (spec.limits.turn_timeout.seconds, spec.priority) == (9, 3)


def test_whoever_has_nothing_left_still_leaves_one_of_each() -> None:
    """Nothing at all would mean the default."""
    story = calling(
        "agent_helper", created(limits=Limits(max_turns=1, max_tool_calls=1)), input="x"
    )
    limits = starts(story.run)[0].spec.limits

    assert (limits.max_turns, limits.max_tool_calls) == (1, 1)


def test_agents_that_only_help_have_no_say_in_the_parents_limits() -> None:
    made = created()
    made.agents[1].limits.max_turns = 1

    assert run_bounds(made).turns == 50


def test_several_run_so_many_at_once() -> None:
    story = calling("agent_helper", **THREE)
    assert indices(story) == [0, 1]

    begin_all(story)
    assert indices(story) == []
    story.record(ended(1, "B"))
    assert indices(story) == [2]


def test_all_are_waited_for_and_one_that_fails_ends_nothing() -> None:
    story = begin_all(calling("agent_helper", **THREE))
    story.record(ended(1))
    begin_all(story)
    story.record(ended(2, "C"))
    assert story.kinds[-1] == "child_ended"

    story.record(ended(0, "A"))
    assert story.kinds[-1] == "turn_started"
    assert json.loads(outcome(story)) == [
        {"index": 0, "output": "A"},
        {"index": 1, "failure": {"reason": "MODEL_UNAVAILABLE", "message": "away"}},
        {"index": 2, "output": "C"},
    ]


def test_a_single_child_that_fails_is_a_call_that_failed() -> None:
    story = begin_all(calling("agent_helper", input="x")).record(ended())

    assert outcome(story) == "CHILD_FAILED: MODEL_UNAVAILABLE: away"
    assert story.kinds[-1] == "turn_started"


@pytest.mark.parametrize("how", [{"join": "any"}, {"join": "first", "count": 1}])
def test_the_first_success_is_enough_where_asked_and_the_others_are_ended(
    how: dict[str, Any],
) -> None:
    story = begin_all(calling("agent_helper", **THREE, **how))
    length = len(story.events)
    story.record(ended(1, "B"))

    assert story.kinds[-1] == "turn_started"
    assert json.loads(outcome(story)) == [{"index": 1, "output": "B"}]
    (job,) = jobs(story, length)
    assert (job.cancel_run.run_id, job.place) == (f"07-{CALL}-0", "07-run")
    assert not indices(story)


def test_a_loser_that_may_have_been_created_is_ended_by_its_request() -> None:
    story = calling("agent_helper", **THREE, join="any")
    story.record(begun(starts(story.run)[1]))
    length = len(story.events)
    story.record(ended(1, "B"))

    (job,) = jobs(story, length)
    assert job.cancel_run.request_id == children.request_id("07-run", CALL, 0)
    assert not job.cancel_run.run_id


def test_so_many_that_fail_that_not_enough_can_succeed_end_the_wait() -> None:
    story = begin_all(calling("agent_helper", **THREE, join="first", count=2))
    story.record(ended(0))
    assert story.kinds[-1] == "child_ended"
    story.record(ended(1))

    assert outcome(story).startswith("CHILD_FAILED: MODEL_UNAVAILABLE: away; MODEL")


def test_a_child_whose_end_comes_first_is_not_started_again() -> None:
    """Its parent's owner may die between creating it and saying so."""
    story = calling("agent_helper", input="x").start().record(ended(output="y"))

    assert outcome(story) == "y"


def test_the_end_of_a_child_counts_once() -> None:
    story = begin_all(calling("agent_helper", **THREE))
    story.record(ended(0, "A", input_tokens=5))

    assert not plan.follows(story.run, ended(0, "A", input_tokens=5))
    assert story.run.usage.input_tokens == 5


def test_what_children_consume_their_parent_consumed_losers_too() -> None:
    story = begin_all(calling("agent_helper", **THREE, join="any"))
    story.record(ended(1, "B", input_tokens=3, output_tokens=2))
    assert story.kinds[-1] == "turn_started"
    story.record(ended(0, input_tokens=10))

    assert (story.run.usage.input_tokens, story.run.usage.output_tokens) == (13, 2)
    assert story.record(says(story.run, "done")).run.ended
    assert plan.status(story.run).usage.input_tokens == 13


def test_a_childs_unknown_cost_makes_its_parents_unknown() -> None:
    story = Story(created()).start()
    event = asks(story.run, ["agent_helper", "agent_helper"])
    event.turn_completed.usage.cost_nano_usd = 7
    for call in event.turn_completed.message.tool_calls:
        call.arguments.text = '{"input": "x"}'
    story.record(event)
    begin_all(story)
    story.record(ended(output="y", cost_nano_usd=5))
    assert story.run.usage.cost_nano_usd == 12
    story.record(ended(output="y", key="0.1.1", input_tokens=1))
    assert not story.run.usage.HasField("cost_nano_usd")


def test_runs_start_others_only_so_deep() -> None:
    made = created()
    made.parent.depth = children.DEPTH_MAX
    story = calling("agent_helper", made, input="x")

    assert outcome(story).startswith("CHILD_DEPTH_EXCEEDED")
    assert story.kinds[-1] == "turn_started"
    assert not story.run.children


def test_a_parent_that_ends_ends_its_children() -> None:
    story = begin_all(calling("agent_helper", **THREE)).record(ended(0, "A"))
    length = len(story.events)
    end = plan.cancelled(story.run, "enough")
    assert end is not None
    story.add(end)

    assert {(j.cancel_run.run_id, j.cancel_run.request_id) for j in jobs(story, length)} == {
        (f"07-{CALL}-1", ""),
        ("", children.request_id("07-run", CALL, 2)),
    }
    assert len({job.job_id for job in jobs(story, length)}) == 2


def test_a_paused_parent_that_is_cancelled_ends_its_children_too() -> None:
    story = calling("agent_helper", input="x").record(pause="lunch")
    assert story.kinds[-1] == "run_paused"
    length = len(story.events)
    end = plan.cancelled(story.run, "enough")
    assert end is not None
    story.add(end)

    assert [j.cancel_run.request_id for j in jobs(story, length)] == [
        children.request_id("07-run", CALL, 0)
    ]


@pytest.mark.parametrize(("size", "is_told"), [(9, True), (outbox.OUTPUT_BYTES_MAX + 1, False)])
def test_a_child_that_ends_tells_its_parent(size: int, is_told: bool) -> None:
    made = created()
    made.parent.run_id, made.parent.key, made.parent.index = "03-boss", "0.4.1", 6
    story = Story(made).start()
    story.record(says(story.run, "x" * size))
    (job,) = jobs(story, 3)

    assert (job.place, job.tenant, job.signal_run.run_id) == ("07-run", "acme", "03-boss")
    assert job.signal_run.signal_id == "child/0.4.1/6"
    told = job.signal_run.event.child_ended
    assert (told.key, told.index) == ("0.4.1", 6)
    assert told.status.state == RunStatus.STATE_COMPLETED
    assert (told.status.output == "x" * size) is is_told
    assert job.ByteSize() < 64 * 1024


def test_a_run_without_parent_or_children_has_nobody_do_anything() -> None:
    story = calling("sub")
    length = len(story.events)
    story.record(returns(CALL))
    story.record(says(story.run, "done"))

    assert story.run.ended
    assert jobs(story, length) == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "give either input or inputs"),
        ({"input": "x", "inputs": ["y"]}, "give either input or inputs"),
        ({"inputs": []}, "inputs: List should have at least 1 item"),
        ({"inputs": ["x"] * 101}, "inputs: List should have at most 100 items"),
        ({"inputs": ["x", ""]}, "inputs.1: String should have at least 1 character"),
        ({"inputs": ["x"], "parallelism": 17}, "parallelism: Input should be less than"),
        ({"inputs": ["x"], "join": "some"}, "join: Input should be 'all', 'any' or 'first'"),
    ],
)
def test_work_that_cannot_be_given_goes_back_to_the_model(
    arguments: dict[str, Any], problem: str
) -> None:
    story = calling("agent_helper", **arguments)

    assert outcome(story).startswith(f"TOOL_ARGUMENTS_INVALID: {problem}")
    assert not starts(story.run)


def test_long_answers_are_cut_and_say_so() -> None:
    story = begin_all(calling("agent_helper", inputs=["a", "b"]))
    story.record(ended(0, "ä" * 300_000)).record(ended(1, "B"))
    first, second = json.loads(outcome(story))

    assert first["output"].endswith("… (cut; 600000 bytes in all)")
    assert second["output"] == "B"
    assert len(outcome(story).encode()) < 256 * 1024


def test_no_run_waits_for_more_than_a_hundred() -> None:
    story = Story(created()).start()
    event = asks(story.run, ["agent_helper"] * 10)
    for call in event.turn_completed.message.tool_calls:
        call.arguments.text = json.dumps({"inputs": ["x"] * 50, "parallelism": 16})
    story.record(event)
    begin_all(story)

    assert len(story.run.children) == children.AT_ONCE
    assert not starts(story.run)
    story.record(ended(3, "x"))
    assert len(starts(story.run)) == 1
