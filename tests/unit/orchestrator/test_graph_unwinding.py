"""A graph that cannot complete: nothing more begins, and what it did is taken back."""

from itertools import pairwise

from unit.orchestrator.graphs import (
    agent,
    begun,
    calls,
    child_ends,
    children,
    fires,
    given_to,
    start_all,
    starts,
    told,
    tool,
    workflow,
)
from unit.orchestrator.story import Story, errs, returns, unknown

from pentad.state.v1.event_pb2 import Event, RunResumed
from pentad.state.v1.run_pb2 import RunStatus, Settlement
from pentad_orchestrator import plan
from pentad_orchestrator.commands import AwaitDeadline

DONE = tool(undone=True)


def line(*names: str) -> Story:
    """Return a run of tools in a line, each of which can be taken back."""
    spec = workflow(dict.fromkeys(names, DONE), *map(" ".join, pairwise(names)))
    return begun(spec)


def undo(story: Story, *paths: str) -> None:
    for path in paths:
        assert calls(story) == [f"undo:{path}"], "one at a time, the last one first"
        story.record(returns(f"undo:{path}"))


def cancelled(story: Story, reason: str = "enough") -> Story:
    end = plan.cancelled(story.run, reason)
    assert end is not None
    return story.record(end)


def status(story: Story) -> RunStatus:
    return plan.status(story.run)


def test_what_was_done_is_taken_back_in_reverse_order() -> None:
    story = line("a", "b", "c").record(returns("a", "A")).record(returns("b", "B"))
    story.record(errs("c"))
    assert given_to(story, "undo:b") == {"what": "B"}
    undo(story, "b", "a")

    ended = status(story)
    assert (ended.state, ended.failure.reason) == (RunStatus.STATE_FAILED, "TOOL_FAILED")
    assert ended.failure.metadata["node"] == "c"
    assert list(ended.unwinding.compensated) == ["b", "a"]


def test_a_compensation_that_fails_is_recorded_and_the_others_are_made() -> None:
    node = {**DONE, "compensation": {**DONE["compensation"], "retry": {"max_attempts": 2}}}
    spec = workflow({"a": DONE, "b": node, "c": tool()}, "a b", "b c")
    story = begun(spec).record(returns("a")).record(returns("b")).record(errs("c"))
    story.record(errs("undo:b")).record(fires("undo:b~2"))
    assert calls(story) == ["undo:b~2"]
    story.record(errs("undo:b~2", "TOOL_TIMEOUT"))
    undo(story, "a")

    unwinding = status(story).unwinding
    assert (list(unwinding.compensated), list(unwinding.not_compensated)) == (["a"], ["b"])
    assert status(story).failure.reason == "TOOL_FAILED", "the node's, and not the compensation's"


def test_a_compensation_without_arguments_is_recorded_too() -> None:
    node = tool(compensation={"tool": {"name": "undo", "arguments": {"x": "${output.x}"}}})
    story = begun(workflow({"a": node, "b": tool()}, "a b"))
    story.record(returns("a", "text")).record(errs("b"))

    assert list(status(story).unwinding.not_compensated) == ["a"]


def test_what_is_in_hand_ends_first_and_is_taken_back_if_it_was_done() -> None:
    story = begun(workflow({"a": DONE, "b": tool(), "c": agent(), "d": DONE}, "a d"))
    start_all(story)
    story.record(errs("b"))
    assert calls(story) == ["a"], "a call is not cut off"
    assert not story.run.children["c", 0].wanted, "another run is"
    story.record(returns("a"))
    assert calls(story) == [], "nothing more begins while something is in hand"
    story.record(child_ends("c", reason="CANCELLED"))
    undo(story, "a")

    assert "started d" not in told(story)
    assert story.run.ended


def test_a_run_that_may_have_been_started_is_found_and_ended() -> None:
    story = begun(workflow({"a": agent(), "b": tool()})).record(errs("b"))
    assert starts(story) == [("a", 0)], "whoever died may have started it"
    start_all(story)
    assert not story.run.children["a", 0].wanted
    story.record(child_ends("a", reason="CANCELLED"))

    assert story.run.ended


def test_what_only_waits_is_dropped() -> None:
    spec = workflow(
        {"a": tool(), "s": {"sleep": {"duration": "60s"}}, "g": {"approval": {"question": "?"}}}
    )
    story = begun(spec).record(errs("a"))

    assert story.run.ended


def test_items_of_a_map_are_taken_back_each_by_itself() -> None:
    undo_item = {"agent": {"name": "clerk", "input": "not ${item} (${index}): ${output}"}}
    body = {"over": "input", "agent": {"name": "clerk", "input": "${item}"}}
    spec = workflow({"each": {"map": body, "compensation": undo_item}})
    story = begun(spec, '["x", "y", "z"]')
    start_all(story)
    story.record(child_ends("each", "Z", 2)).record(child_ends("each", "X", 0))
    story.record(child_ends("each", index=1, reason="MODEL_UNAVAILABLE"))
    given = []
    for path in ("each[0]", "each[2]"):
        (start,) = children(story)
        given.append(start.spec.input)
        start_all(story)
        story.record(child_ends(f"undo:{path}"))

    assert given == ["not x (0): X", "not z (2): Z"]
    assert story.run.ended


def test_each_round_of_a_loop_is_taken_back() -> None:
    spec = workflow(
        {"a": DONE, "b": tool()},
        ("a a", {"condition": "iteration < 3", "max_iterations": 9}),
        "a b",
    )
    story = begun(spec)
    for path in ("a", "a#2", "a#3"):
        story.record(returns(path))
    story.record(errs("b"))
    undo(story, "a#3", "a#2", "a")

    assert story.run.ended


def test_a_cancel_takes_back_and_then_ends() -> None:
    story = cancelled(line("a", "b").record(returns("a")))
    assert plan.cancelled(story.run, "enough") is None, "it is being done"
    story.record(returns("b"))
    undo(story, "b", "a")

    assert (status(story).state, status(story).cancel_reason) == (
        RunStatus.STATE_CANCELLED, "enough",
    )  # fmt: skip


def test_the_deadline_takes_back_and_then_fails() -> None:
    story = line("a", "b").record(returns("a")).record(plan.deadline_reached())
    story.record(returns("b"))
    undo(story, "b", "a")

    assert status(story).failure.reason == "WALL_TIME_REACHED"


def test_taking_back_has_an_end() -> None:
    story = cancelled(line("a", "b", "c").record(returns("a")).record(returns("b")))
    story.record(errs("c"))
    assert calls(story) == ["undo:b"]
    story.record(plan.deadline_reached())

    assert list(status(story).unwinding.not_compensated) == ["b", "a"]
    assert status(story).state == RunStatus.STATE_CANCELLED


def test_a_failed_run_takes_back_as_long_as_it_has_time() -> None:
    story = line("a", "b").record(returns("a")).record(errs("b"))

    assert AwaitDeadline(story.run.deadline_s) in plan.decide(story.run)


def test_a_call_of_which_nobody_knows_waits_for_a_person() -> None:
    story = line("a", "b").record(unknown("a"))
    assert story.run.paused
    story.resume(Settlement(call_id="a", not_done=True))
    assert calls(story) == ["a"]
    story.record(unknown("a", 2))
    story.resume(Settlement(call_id="a", failure="it did not", attempt=2))

    assert status(story).failure.reason == "TOOL_FAILED"


def test_a_compensation_of_which_nobody_knows_waits_too_unless_the_run_is_cancelled() -> None:
    story = line("a", "b").record(returns("a")).record(errs("b")).record(unknown("undo:a"))
    assert story.run.paused
    cancelled(story)

    assert list(status(story).unwinding.not_compensated) == ["a"]
    assert status(story).state == RunStatus.STATE_CANCELLED


def test_a_cancelled_run_waits_for_nobody_to_say_what_became_of_a_call() -> None:
    story = cancelled(line("a", "b").record(returns("a")).record(unknown("b")))
    undo(story, "a")

    unwinding = status(story).unwinding
    assert (list(unwinding.compensated), list(unwinding.not_compensated)) == (["a"], ["b"])


def test_a_paused_graph_begins_nothing_and_goes_on() -> None:
    story = line("a", "b").record(returns("a"), pause="lunch")
    assert story.run.paused
    assert "started b" not in told(story)
    story.record(Event(run_resumed=RunResumed()))

    assert calls(story) == ["b"]


def test_a_graph_that_is_unwound_is_not_let_go_of() -> None:
    node = {**DONE, "compensation": {"agent": {"name": "clerk", "input": "undo"}}}
    story = begun(workflow({"a": node, "b": tool()}, "a b")).record(returns("a")).record(errs("b"))
    start_all(story)

    assert plan.waiting(story.run) is None
