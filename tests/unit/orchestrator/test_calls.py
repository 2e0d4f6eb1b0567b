"""Tool calls: repeated as long as that is safe, and what a person found out is used once."""

from typing import Any

import pytest
from harness.fakes import fault
from unit.orchestrator.naps import patience
from unit.orchestrator.story import Story, asks, unknown

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Settlement
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest, InvokeToolResponse
from pentad_chassis.calls import is_unrepeated
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from pentad_orchestrator import plan
from pentad_orchestrator.calls import Calls
from pentad_orchestrator.commands import InvokeTool


class Tools:
    """Fails as often as it is told, then returns."""

    def __init__(self, *errors: ServiceError) -> None:
        self.errors = list(errors)
        self.said: list[bool] = []
        self.repeatable: list[bool] = []

    async def InvokeTool(self, request: InvokeToolRequest, **_: Any) -> InvokeToolResponse:
        self.said.append(request.known_not_done)
        self.repeatable.append(not is_unrepeated())
        if self.errors:
            raise self.errors.pop(0)
        return InvokeToolResponse(result=Payload(text="5"))


def asked() -> Story:
    story = Story().start()
    return story.record(asks(story.run, ["add"]))


def vouched() -> Story:
    story = asked().record(unknown("0.1.0"))
    return story.resume(Settlement(call_id="0.1.0", not_done=True))


async def invoke(tools: Tools, story: Story) -> Event:
    command = plan.decide(story.run)[0]
    assert isinstance(command, InvokeTool)
    calls = Calls(tools, patience(), FakeClock())  # type: ignore[arg-type]
    return await calls.invoke(story.run, command)


@pytest.mark.parametrize(
    "error",
    [
        fault(Unavailable, "UNAVAILABLE"),
        fault(Unavailable, "CALL_IN_PROGRESS"),
        fault(DeadlineExceeded, "DEADLINE_EXCEEDED"),
    ],
)
async def test_a_call_is_asked_for_again_until_there_is_an_answer(error: ServiceError) -> None:
    tools = Tools(error, error)
    event = await invoke(tools, asked())

    assert event.tool_call_completed.result.text == "5"
    assert tools.said == [False] * 3
    assert tools.repeatable == [True] * 3


async def test_what_nobody_knows_is_an_event_of_its_own() -> None:
    event = await invoke(Tools(fault(FailedPrecondition, "EFFECT_OUTCOME_UNKNOWN")), asked())

    told = event.effect_unknown
    assert (told.step, told.call_id, told.tool) == ("run", "0.1.0", "add")


async def test_another_failure_of_pentads_own_ends_the_run() -> None:
    story = asked()
    story.record(await invoke(Tools(fault(FailedPrecondition, "ARGUMENTS_CHANGED")), story))

    assert plan.status(story.run).failure.reason == "ARGUMENTS_CHANGED"


async def test_a_call_that_did_not_take_place_is_made_once_and_not_by_a_retry() -> None:
    tools = Tools()
    await invoke(tools, vouched())

    assert tools.said == [True]
    assert tools.repeatable == [False]


@pytest.mark.parametrize("reason", ["UNAVAILABLE", "CALL_IN_PROGRESS", "STORE_UNAVAILABLE"])
async def test_an_attempt_that_may_have_made_the_call_uses_up_what_was_known(reason: str) -> None:
    tools = Tools(fault(Unavailable, reason))
    await invoke(tools, vouched())

    assert tools.said == [True, False]


async def test_an_attempt_that_reached_nobody_does_not() -> None:
    tools = Tools(fault(Unavailable, "CIRCUIT_OPEN"), fault(ResourceExhausted, "OVERLOADED"))
    await invoke(tools, vouched())

    assert tools.said == [True] * 3
