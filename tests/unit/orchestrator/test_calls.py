"""Tool calls: repeated as long as that is safe, and what a person found out goes with them."""

from typing import Any

import pytest
from harness.fake_budgets import FakeBudgets
from harness.fakes import direct, fault
from unit.orchestrator.naps import patience
from unit.orchestrator.story import Story, asks, unknown

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Settlement
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest, InvokeToolResponse
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    ServiceError,
    Unavailable,
)
from pentad_orchestrator import plan
from pentad_orchestrator.allowances import Allowances
from pentad_orchestrator.calls import Calls
from pentad_orchestrator.commands import InvokeTool


class Tools:
    """Fails as often as it is told, then returns."""

    def __init__(self, *errors: ServiceError) -> None:
        self.errors = list(errors)
        self.said: list[int] = []

    async def InvokeTool(self, request: InvokeToolRequest, **_: Any) -> InvokeToolResponse:
        self.said.append(request.not_done_up_to)
        if self.errors:
            raise self.errors.pop(0)
        return InvokeToolResponse(result=Payload(text="5"))


def asked() -> Story:
    story = Story().start()
    return story.record(asks(story.run, ["add"]))


def vouched() -> Story:
    story = asked().record(unknown("0.1.0", attempt=2))
    return story.resume(Settlement(call_id="0.1.0", not_done=True))


async def invoke(tools: Tools, story: Story) -> Event:
    command = plan.decide(story.run)[0]
    assert isinstance(command, InvokeTool)
    allowances = Allowances(direct(FakeBudgets()), patience(), FakeClock())
    calls = Calls(tools, allowances, patience(), FakeClock())  # type: ignore[arg-type]
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
    assert tools.said == [0] * 3


async def test_what_nobody_knows_is_an_event_of_its_own() -> None:
    error = fault(FailedPrecondition, "EFFECT_OUTCOME_UNKNOWN")
    error.metadata = {"attempt": "2"}
    event = await invoke(Tools(error), asked())

    told = event.effect_unknown
    assert (told.step, told.call_id, told.tool, told.attempt) == ("run", "0.1.0", "add", 2)


async def test_another_failure_of_pentads_own_ends_the_run() -> None:
    story = asked()
    story.record(await invoke(Tools(fault(FailedPrecondition, "ARGUMENTS_CHANGED")), story))

    assert plan.status(story.run).failure.reason == "ARGUMENTS_CHANGED"


async def test_what_is_known_of_an_attempt_goes_with_every_repeat() -> None:
    """The ledger knows whether another attempt was made since; who asks does not have to."""
    tools = Tools(fault(Unavailable, "UNAVAILABLE"), fault(Unavailable, "CALL_IN_PROGRESS"))
    await invoke(tools, vouched())

    assert tools.said == [2] * 3
