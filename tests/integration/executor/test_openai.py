"""OpenAI-compatible models: a real executor, a server on loopback that speaks as OpenAI does."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import openai_server
from harness.openai_server import OpenAIServer, Turn, open_openai_server
from harness.turns import asked, llm_turn, told

from pentad.state.v1.message_pb2 import Message
from pentad_chassis import semconv
from pentad_chassis.channel import reading
from pentad_chassis.errors import Code, ServiceError

from .conftest import TIMEOUT_S, Executor, OpenExecutor

SECRET = "quoted from the prompt"


@asynccontextmanager
async def playing(
    open_executor: OpenExecutor, *script: Turn
) -> AsyncIterator[tuple[Executor, OpenAIServer]]:
    """An executor that is configured for a server that plays the script."""
    async with (
        open_openai_server(script) as server,
        open_executor(openai_api_key=server.api_key, openai_base_url=server.base_url) as executor,
    ):
        yield executor, server


async def failure(open_executor: OpenExecutor, turn: Turn, **settings: Any) -> ServiceError:
    """What one turn against that answer ends with; it was asked for once."""
    async with open_openai_server([turn]) as server:
        given = {"openai_api_key": server.api_key, "openai_base_url": server.base_url}
        async with open_executor(**{**given, **settings}) as executor:
            with pytest.raises(ServiceError) as caught:
                await executor.turn(llm_turn())
            assert len(server.requests) <= 1
            assert server.api_key not in executor.log.getvalue()
    assert server.api_key not in f"{caught.value.message} {caught.value.metadata}"
    assert SECRET not in f"{caught.value.message} {caught.value.metadata}"
    return caught.value


async def test_text_arrives_piece_by_piece_and_then_as_a_turn(open_executor: OpenExecutor) -> None:
    said = "Three tickets are open, “two” of them urgent."
    async with (
        open_openai_server([Turn(text=said, cached_tokens=40)]) as server,
        open_executor(openai_api_key=server.api_key, openai_base_url=server.base_url) as executor,
    ):
        pieces, result = await executor.turn(llm_turn(text="How many?", max_output_tokens=99))

    assert "".join(pieces) == said
    assert result.message == Message(role=Message.ROLE_ASSISTANT, text=said)
    assert result.model == "gpt-4o-mini"
    assert (result.usage.input_tokens, result.usage.output_tokens) == (100, 20)
    assert result.usage.cached_input_tokens == 40
    assert result.usage.cost_nano_usd == 60 * 150 + 40 * 75 + 20 * 600
    [request] = server.requests
    assert request["stream"] is True
    assert request["max_completion_tokens"] == 99
    assert [m["role"] for m in request["messages"]] == ["system", "user"]
    assert request["messages"][1]["content"] == "How many?"
    [tool] = request["tools"]
    assert tool["function"]["name"] == "look"
    assert tool["function"]["parameters"]["required"] == ["key"]


async def test_a_piece_is_passed_on_before_the_model_has_finished(
    open_executor: OpenExecutor,
) -> None:
    async with (
        open_openai_server([Turn(text="Wait", hold=True)]) as server,
        open_executor(openai_api_key=server.api_key, openai_base_url=server.base_url) as executor,
    ):
        call = executor.stub.ExecuteTurn(llm_turn(), timeout=TIMEOUT_S)
        async with reading(call) as responses:
            first = await anext(responses)

    assert first.text_delta == "Wait"


async def test_a_connection_serves_turn_after_turn(open_executor: OpenExecutor) -> None:
    script = [Turn(text="one"), Turn(text="two"), Turn(text="three")]
    async with playing(open_executor, *script) as (executor, server):
        for _ in script:
            await executor.turn(llm_turn())

    assert len(server.requests) == len(script)
    assert len(server.connections) == 1


async def test_an_answer_counts_that_ends_before_its_response_does(
    open_executor: OpenExecutor,
) -> None:
    chunk = '{"model": "m", "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}'
    async with playing(open_executor, Turn(raw=[chunk, "[DONE]"], hold=True)) as (executor, server):
        _, result = await executor.turn(llm_turn())
        await asyncio.wait_for(server.left.wait(), TIMEOUT_S)

    assert result.message.text == "Hi"


async def test_tool_calls_are_put_together_from_their_fragments(
    open_executor: OpenExecutor,
) -> None:
    calls: Sequence[dict[str, Any]] = (
        {"name": "look", "arguments": {"key": "a long enough key to be cut"}, "id": "call_a"},
        {"name": "look", "arguments": '{"key": ', "id": "call_b"},
        {"name": "not_offered", "arguments": "", "id": "call_c"},
    )
    async with playing(open_executor, Turn(text="Let me see.", calls=calls)) as (executor, _):
        _, result = await executor.turn(llm_turn())

    assert result.message.text == "Let me see."
    found = result.message.tool_calls
    assert [(c.model_call_id, c.tool, c.call_id) for c in found] == [
        ("call_a", "look", ""),
        ("call_b", "look", ""),
        ("call_c", "not_offered", ""),
    ]
    assert json.loads(found[0].arguments.text) == {"key": "a long enough key to be cut"}
    assert [c.arguments.content_type for c in found] == [
        "application/json",
        "text/plain",
        "application/json",
    ]
    assert found[1].arguments.text == '{"key": '
    assert found[2].arguments.text == "{}"


async def test_results_go_back_under_the_ids_the_model_chose(open_executor: OpenExecutor) -> None:
    """The server refuses a conversation in which a call has no answer, as OpenAI does."""
    history = [
        Message(role=Message.ROLE_USER, text="before"),
        Message(role=Message.ROLE_ASSISTANT, text="yes"),
    ]
    both = asked("call_a", arguments='{"key": "x"}')
    both.tool_calls.append(asked("call_b", arguments="{broken").tool_calls[0])
    since = [both, told("call_a", '{"found": 1}'), told("call_b", "bad arguments", failed=True)]
    async with (
        open_openai_server([Turn(text="Done")]) as server,
        open_executor(openai_api_key=server.api_key, openai_base_url=server.base_url) as executor,
    ):
        await executor.turn(llm_turn(history=history, messages=since))

    messages = server.requests[0]["messages"]
    assert [m["role"] for m in messages] == [
        "system", "user", "assistant", "user", "assistant", "tool", "tool",
    ]  # fmt: skip
    assert messages[-2]["tool_call_id"] == "call_a"
    assert messages[-2]["content"] == '{"found": 1}'


async def test_an_endpoint_of_ones_own_needs_no_key_and_an_unknown_model_has_no_cost(
    open_executor: OpenExecutor,
) -> None:
    async with open_openai_server([Turn(text="Hi")]) as server:
        server.api_key = ""
        async with open_executor(openai_base_url=server.base_url) as executor:
            _, result = await executor.turn(llm_turn("openai:my-own-llama"))

    assert result.model == "my-own-llama"
    assert not result.usage.HasField("cost_nano_usd")


async def test_without_a_key_the_variable_to_set_is_named(open_executor: OpenExecutor) -> None:
    async with open_executor() as executor:
        with pytest.raises(ServiceError, match="set OPENAI_API_KEY") as caught:
            await executor.turn(llm_turn())

    assert caught.value.reason == "MODEL_NOT_CONFIGURED"
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert caught.value.metadata["variable"] == "OPENAI_API_KEY"


async def test_a_wrong_key_is_said_to_be_wrong_and_never_shown(
    open_executor: OpenExecutor,
) -> None:
    """The server quotes the key in its error, as OpenAI does."""
    error = await failure(open_executor, Turn(), openai_api_key="sk-wrong-secret")

    assert error.reason == "MODEL_NOT_CONFIGURED"
    assert "sk-wrong" not in error.message


@pytest.mark.parametrize(
    ("turn", "reason", "code"),
    [
        (Turn(status=403), "MODEL_REFUSED", Code.FAILED_PRECONDITION),
        (Turn(status=404, error={"code": "model_not_found"}), "MODEL_UNKNOWN", Code.NOT_FOUND),
        (Turn(status=400, error={"message": SECRET}), "MODEL_REFUSED", Code.FAILED_PRECONDITION),
        (
            Turn(status=400, error={"code": "context_length_exceeded"}),
            "MODEL_REFUSED",
            Code.FAILED_PRECONDITION,
        ),
        (
            Turn(status=429, error={"code": "insufficient_quota"}),
            "MODEL_REFUSED",
            Code.FAILED_PRECONDITION,
        ),
        (Turn(status=429), "MODEL_RATE_LIMITED", Code.RESOURCE_EXHAUSTED),
        (Turn(status=408), "MODEL_UNAVAILABLE", Code.UNAVAILABLE),
        (Turn(status=500, error={"message": SECRET}), "MODEL_UNAVAILABLE", Code.UNAVAILABLE),
        (
            Turn(status=307, location="http://127.0.0.1:1/"),
            "MODEL_REFUSED",
            Code.FAILED_PRECONDITION,
        ),
        (Turn(status=503), "MODEL_UNAVAILABLE", Code.UNAVAILABLE),
        (Turn(text="half", hang_up=True), "MODEL_UNAVAILABLE", Code.UNAVAILABLE),
        (
            Turn(text="half", error={"message": SECRET, "code": "server_error"}),
            "MODEL_UNAVAILABLE",
            Code.UNAVAILABLE,
        ),
        (Turn(text="half", finish_reason=None), "MODEL_OUTPUT_INVALID", Code.ABORTED),
        (Turn(), "MODEL_OUTPUT_INVALID", Code.ABORTED),
        (Turn(calls=[{"arguments": "{}"}]), "MODEL_OUTPUT_INVALID", Code.ABORTED),
        (
            Turn(text="no", finish_reason="content_filter"),
            "MODEL_REFUSED",
            Code.FAILED_PRECONDITION,
        ),
        (
            Turn(calls=[{"name": "look", "arguments": "{}"}] * 65),
            "MODEL_OUTPUT_TOO_LARGE",
            Code.OUT_OF_RANGE,
        ),
    ],
)
async def test_what_goes_wrong_has_its_reason(
    open_executor: OpenExecutor, turn: Turn, reason: str, code: Code
) -> None:
    error = await failure(open_executor, turn)

    assert (error.reason, error.code) == (reason, code)
    assert error.metadata["model"] == "openai:gpt-4o-mini"


@pytest.mark.parametrize(
    "garbage",
    [
        "<html>",
        "null",
        "[]",
        '{"choices": "x"}',
        '{"choices": [{"delta": {"content": 5}}]}',
        '{"choices": [{"delta": "x"}]}',
        '{"usage": {"prompt_tokens": "many"}}',
        '{"usage": {"prompt_tokens": 1, "completion_tokens": -1}}',
        '{"usage": {"prompt_tokens": 1e30, "completion_tokens": 1}}',
        '{"choices": [{"delta": {"tool_calls": "x"}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": 0}]}, "finish_reason": "tool_calls"}]}',
        '{"model": "m", "choices": [{"delta": {"content": "\\ud800"}, "finish_reason": "stop"}]}',
    ],
)
async def test_garbage_is_no_turn(open_executor: OpenExecutor, garbage: str) -> None:
    error = await failure(open_executor, Turn(raw=[garbage]))

    assert error.reason == "MODEL_OUTPUT_INVALID"


async def test_a_rate_limit_says_when_to_come_back(open_executor: OpenExecutor) -> None:
    error = await failure(open_executor, Turn(status=429, retry_after="7"))

    assert error.retry_after_s == 7


async def test_a_provider_that_is_not_there_is_unavailable(open_executor: OpenExecutor) -> None:
    error = await failure(open_executor, Turn(), openai_base_url="http://127.0.0.1:1/v1")

    assert error.reason == "MODEL_UNAVAILABLE"
    assert "connect" in error.message


async def test_a_caller_that_leaves_closes_the_connection(open_executor: OpenExecutor) -> None:
    async with (
        open_openai_server([Turn(text="Wait", hold=True)]) as server,
        open_executor(openai_api_key=server.api_key, openai_base_url=server.base_url) as executor,
    ):
        call = executor.stub.ExecuteTurn(llm_turn(), timeout=TIMEOUT_S)
        async with reading(call) as responses:
            await anext(responses)
            await asyncio.wait_for(server.holding.wait(), TIMEOUT_S)
            assert not server.left.is_set()
        await asyncio.wait_for(server.left.wait(), TIMEOUT_S)


async def test_a_turn_out_of_time_is_unavailable_and_closes_the_connection(
    open_executor: OpenExecutor,
) -> None:
    turn = llm_turn()
    turn.timeout.FromMilliseconds(300)
    async with (
        open_openai_server([Turn(hold=True)]) as server,
        open_executor(openai_api_key=server.api_key, openai_base_url=server.base_url) as executor,
    ):
        with pytest.raises(ServiceError, match=r"no answer within 0\.3 s") as caught:
            await executor.turn(turn)
        await asyncio.wait_for(server.left.wait(), TIMEOUT_S)

    assert caught.value.reason == "MODEL_UNAVAILABLE"


async def test_the_span_of_a_turn_says_what_it_was_and_what_it_used(
    open_executor: OpenExecutor,
) -> None:
    async with (
        open_openai_server([Turn(text="Hi")]) as server,
        open_executor(openai_api_key=server.api_key, openai_base_url=server.base_url) as executor,
    ):
        await executor.turn(llm_turn(text="Hi there"))
        spans = executor.telemetry.spans.take()

    [chat] = [span for span in spans if span.name == "chat gpt-4o-mini"]
    assert chat.attributes[semconv.GEN_AI_OPERATION_NAME] == "chat"
    assert chat.attributes[semconv.GEN_AI_PROVIDER_NAME] == "openai"
    assert chat.attributes[semconv.GEN_AI_REQUEST_MODEL] == "gpt-4o-mini"
    assert chat.attributes[semconv.GEN_AI_RESPONSE_MODEL] == "gpt-4o-mini"
    assert chat.attributes[semconv.GEN_AI_USAGE_INPUT_TOKENS] == "100"
    assert chat.attributes[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] == "20"
    assert not any("Hi there" in value for value in chat.attributes.values())


async def test_the_server_plays_a_script_from_a_file_as_a_process(
    open_executor: OpenExecutor, tmp_path: Path
) -> None:
    script = tmp_path / "script.json"
    script.write_text('[{"text": "from afar"}]')
    process = await asyncio.create_subprocess_exec(
        sys.executable, openai_server.__file__, script, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), TIMEOUT_S)
        async with open_executor(
            openai_api_key=openai_server.API_KEY, openai_base_url=line.decode().strip()
        ) as executor:
            _, result = await executor.turn(llm_turn())
    finally:
        process.terminate()
        await process.wait()

    assert result.message.text == "from afar"
