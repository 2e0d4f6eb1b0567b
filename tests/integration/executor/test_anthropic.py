"""Anthropic's models: a real executor, a server on loopback that speaks as Anthropic does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from harness.anthropic_server import Answer, AnthropicServer, open_anthropic_server
from harness.turns import asked, llm_turn, told

from pentad_chassis.errors import ServiceError

from .conftest import Executor, OpenExecutor

MODEL = "anthropic:claude-haiku-4-5"


@asynccontextmanager
async def serving(
    open_executor: OpenExecutor, answer: Answer
) -> AsyncIterator[tuple[Executor, AnthropicServer]]:
    async with (
        open_anthropic_server([answer]) as server,
        open_executor(
            anthropic_api_key=server.api_key, anthropic_base_url=server.base_url
        ) as executor,
    ):
        yield executor, server


async def test_text_is_streamed_and_usage_counts_cached_tokens_as_read(
    open_executor: OpenExecutor,
) -> None:
    async with serving(open_executor, Answer(text="Good morning to you.")) as (executor, server):
        pieces, result = await executor.turn(llm_turn(MODEL, max_output_tokens=50))

    assert "".join(pieces) == result.message.text == "Good morning to you."
    assert result.model == "claude-haiku-4-5"
    assert (result.usage.input_tokens, result.usage.output_tokens) == (100, 20)
    assert result.usage.cached_input_tokens == 40
    assert result.usage.cost_nano_usd == 60 * 1000 + 40 * 100 + 20 * 5000
    assert server.requests[0]["max_tokens"] == 50
    assert [m["role"] for m in server.requests[0]["messages"]] == ["user"]


async def test_a_tool_call_and_its_failure_travel_both_ways(open_executor: OpenExecutor) -> None:
    answer = Answer(text="Again.", call=("look", {"key": "tickets"}))
    since = [asked("toolu_0", arguments="{broken"), told("toolu_0", "bad arguments", failed=True)]
    async with serving(open_executor, answer) as (executor, server):
        _, result = await executor.turn(llm_turn(MODEL, messages=since))

    [call] = result.message.tool_calls
    assert (call.tool, call.model_call_id) == ("look", "toolu_1")
    assert json.loads(call.arguments.text) == {"key": "tickets"}
    [told_back] = server.requests[0]["messages"][-1]["content"]
    assert told_back["tool_use_id"] == "toolu_0"
    assert told_back["is_error"] is True


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=401, error="authentication_error"), "MODEL_NOT_CONFIGURED"),
        (Answer(status=404, error="not_found_error"), "MODEL_UNKNOWN"),
        (Answer(status=429, error="rate_limit_error"), "MODEL_RATE_LIMITED"),
        (Answer(status=529, error="overloaded_error"), "MODEL_UNAVAILABLE"),
        (Answer(), "MODEL_OUTPUT_INVALID"),
    ],
)
async def test_what_goes_wrong_has_its_reason(
    open_executor: OpenExecutor, answer: Answer, reason: str
) -> None:
    async with serving(open_executor, answer) as (executor, server):
        with pytest.raises(ServiceError) as caught:
            await executor.turn(llm_turn(MODEL))
        assert len(server.requests) == 1

    assert caught.value.reason == reason
