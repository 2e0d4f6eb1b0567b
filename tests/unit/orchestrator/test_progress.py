"""Runs that go in a circle."""

import pytest
from unit.orchestrator.story import Story, asks, returns, simple

from pentad.state.v1.agent_pb2 import Limits
from pentad_orchestrator import plan


def turn(story: Story, tools: list[str], results: list[str], arguments: str = "{}") -> Story:
    """Have a turn's calls return results."""
    event = asks(story.run, tools)
    for call in event.turn_completed.message.tool_calls:
        call.arguments.text = arguments
    story.record(event)
    for index, result in enumerate(results):
        story.record(returns(f"0.{story.run.turn}.{index}", result))
    return story


@pytest.mark.parametrize(("limits", "turns"), [(None, 6), (Limits(max_repeats=1), 2)])
def test_a_run_that_repeats_itself_too_often_ends(limits: Limits | None, turns: int) -> None:
    story = Story(simple(limits)).start()
    for _ in range(turns - 1):
        turn(story, ["add", "sub"], ["1", "2"])
        assert story.kinds[-1] == "turn_started"
    turn(story, ["add", "sub"], ["1", "2"])

    failure = plan.status(story.run).failure
    assert failure.reason == "NO_PROGRESS"
    assert dict(failure.metadata) == {"tool": "add", "repeats": str(turns - 1)}


@pytest.mark.parametrize("other", ["result", "arguments", "tool", "number"])
def test_whatever_changes_is_progress(other: str) -> None:
    story = Story(simple(Limits(max_repeats=1))).start()
    for number in range(6):
        changed = number % 2 == 1
        tools = ["sub" if changed and other == "tool" else "add"]
        tools *= 2 if changed and other == "number" else 1
        result = "2" if changed and other == "result" else "1"
        arguments = '{"x": 1}' if changed and other == "arguments" else "{}"
        turn(story, tools, [result] * len(tools), arguments)

    assert story.kinds[-1] == "turn_started"


def test_repeats_are_counted_in_a_row() -> None:
    story = Story(simple(Limits(max_repeats=2))).start()
    for result in ("1", "1", "2", "2", "1", "1"):
        turn(story, ["add"], [result])

    assert story.kinds[-1] == "turn_started"
