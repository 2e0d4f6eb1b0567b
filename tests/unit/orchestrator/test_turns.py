"""How a call of the executor becomes an event."""

from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from harness.fake_registry import FakeRegistry
from harness.fake_state import FakeRuns
from harness.fakes import direct, fault
from unit.orchestrator.naps import Naps, patience
from unit.orchestrator.story import Story

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnResponse, TurnResult
from pentad.state.v1.message_pb2 import Message, ToolCall
from pentad.state.v1.run_service_pb2 import Lease
from pentad_chassis.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator import turns as turns_module
from pentad_orchestrator.config import Config
from pentad_orchestrator.executors import Executors
from pentad_orchestrator.text import TextSink
from pentad_orchestrator.turns import Turns

LEASE = Lease(run_id="07-run", fence=1)


class Executor:
    """Answers each call with the next of its script."""

    def __init__(self, *script: Sequence[ExecuteTurnResponse | ServiceError]) -> None:
        self._script = list(script)

    def ExecuteTurn(self, request: Any, **_: float) -> "Answers":
        return Answers(self._script.pop(0))


class Answers:
    def __init__(self, answers: Sequence[ExecuteTurnResponse | ServiceError]) -> None:
        self._answers = iter(answers)

    def __aiter__(self) -> "Answers":
        return self

    async def __anext__(self) -> ExecuteTurnResponse:
        for answer in self._answers:
            if isinstance(answer, ServiceError):
                raise answer
            return answer
        raise StopAsyncIteration

    def cancel(self) -> bool:
        return True


def never(address: str) -> NoReturn:
    raise AssertionError(f"nobody is listed, and {address} was called")


def turns(executor: Executor, naps: Naps | None = None) -> Turns:
    log = silent_telemetry("orchestrator").log
    executors = Executors(direct(FakeRegistry()), never, executor, Config(), log)  # type: ignore[arg-type]
    return Turns(executors, TextSink(direct(FakeRuns()), 60.0, log), patience(naps))


def result(*tools: str) -> ExecuteTurnResponse:
    wishes = [ToolCall(tool=tool, call_id="made up") for tool in tools]
    return ExecuteTurnResponse(result=TurnResult(message=Message(text="ok", tool_calls=wishes)))


async def test_calls_are_named_by_the_orchestrator() -> None:
    story = Story().start()
    event = await turns(Executor([result("add", "sub")])).execute(story.run, (), LEASE)

    message = event.turn_completed.message
    assert [call.call_id for call in message.tool_calls] == ["0.1.0", "0.1.1"]
    assert message.role == Message.ROLE_ASSISTANT


@pytest.mark.parametrize("from_cache", [True, False])
async def test_an_answer_of_the_response_cache_is_marked_in_the_journal(from_cache: bool) -> None:
    answer = result()
    answer.result.from_cache = from_cache
    event = await turns(Executor([answer])).execute(Story().start().run, (), LEASE)

    assert event.turn_completed.from_cache is from_cache


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (fault(Unavailable, "MODEL_UNAVAILABLE"), "MODEL_UNAVAILABLE", True),
        (fault(ResourceExhausted, "MODEL_RATE_LIMITED"), "MODEL_RATE_LIMITED", True),
        (fault(FailedPrecondition, "MODEL_NOT_CONFIGURED"), "MODEL_NOT_CONFIGURED", False),
        (fault(Internal, "MODEL_OUTPUT_INVALID"), "MODEL_OUTPUT_INVALID", True),
        (fault(DeadlineExceeded, "DEADLINE_EXCEEDED"), "TURN_TIMEOUT", True),
        (fault(Internal, "INTERNAL"), "INTERNAL", False),
    ],
)
async def test_a_models_failure_is_an_event(
    error: ServiceError,
    reason: str,
    retryable: bool,
) -> None:
    story = Story().start()
    event = await turns(Executor([error])).execute(story.run, (), LEASE)

    assert event.turn_failed.failure.reason == reason
    assert event.turn_failed.retryable is retryable
    assert not event.turn_failed.cut_short


async def test_the_pause_a_provider_asks_for_is_kept_with_the_failure() -> None:
    error = fault(ResourceExhausted, "MODEL_RATE_LIMITED")
    error.retry_after_s = 2.5
    event = await turns(Executor([error])).execute(Story().start().run, (), LEASE)

    assert event.turn_failed.failure.metadata["retry_after_s"] == "2.5"


async def test_an_executor_that_is_away_is_waited_for() -> None:
    naps = Naps()
    away: list[ExecuteTurnResponse | ServiceError] = [fault(Unavailable, "UNAVAILABLE")]
    unseen = [ExecuteTurnResponse(text_delta="nobody saw it"), *away]
    executor = Executor(away, away, unseen, [result()])
    event = await turns(executor, naps).execute(Story().start().run, (), LEASE)

    assert event.turn_completed.message.text == "ok"
    assert len(naps.taken) == 3


async def test_a_stream_without_a_result_is_a_failure() -> None:
    executor = Executor([ExecuteTurnResponse(text_delta="…")])
    event = await turns(executor).execute(Story().start().run, (), LEASE)

    assert event.turn_failed.failure.reason == "TURN_INCOMPLETE"
    assert event.turn_failed.retryable


async def test_a_conversation_that_no_message_holds_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "_REQUEST_BYTES_MAX", 10)
    event = await turns(Executor()).execute(Story().start().run, (), LEASE)

    assert event.turn_failed.failure.reason == "CONVERSATION_TOO_LARGE"
    assert not event.turn_failed.retryable
