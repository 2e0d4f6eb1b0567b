"""Anthropic's Messages, event by event."""

import json
from typing import Any

import pytest
from harness.turns import asked, llm_turn, told
from pydantic import SecretStr

from pentad.state.v1.message_pb2 import Message
from pentad_executor.answer import Answer
from pentad_executor.anthropic_models import AnthropicWire
from pentad_executor.config import Config
from pentad_executor.errors import ModelOutputInvalid, ModelRefused
from pentad_executor.pricing import Tokens
from pentad_executor.provider_errors import Fault

WIRE = AnthropicWire(
    Config(anthropic_api_key=SecretStr("k"), anthropic_base_url="http://127.0.0.1:1/")
)


def delta(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def block(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "content_block_start",
        "index": index,
        "content_block": {"type": kind, **fields},
    }


def stopped(reason: str, **usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


def read(*events: dict[str, Any]) -> tuple[str, Answer]:
    answer = Answer("anthropic:m")
    return "".join(WIRE.read(json.dumps(event).encode(), answer) for event in events), answer


def test_it_is_asked_where_and_as_its_api_wants() -> None:
    assert WIRE.url == "http://127.0.0.1:1/v1/messages"
    assert WIRE.headers["authorization"] == "Bearer k"
    assert WIRE.headers["anthropic-version"]


def test_text_is_passed_on_and_what_is_unknown_is_passed_over() -> None:
    text, answer = read(
        {"type": "message_start", "message": {"model": "m-1", "content": []}},
        {"type": "ping"},
        block(0, "thinking", thinking=""),
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="signature_delta", signature="s"),
        block(1, "text", text="Hel"),
        delta(1, type="text_delta", text="lo"),
        {"type": "content_block_stop", "index": 1},
        {"type": "of_next_year", "delta": {"news": 1}},
        stopped("end_turn"),
    )

    assert text == answer.result(None).message.text == "Hello"
    assert answer.model == "m-1"
    assert not answer.over
    assert WIRE.read(b'{"type": "message_stop"}', answer) == ""
    assert answer.over


def test_calls_are_put_together_and_may_have_no_arguments() -> None:
    _, answer = read(
        block(0, "tool_use", id="a", name="look", input={}),
        block(1, "tool_use", id="b", name="find", input={}),
        delta(0, type="input_json_delta", partial_json='{"k'),
        delta(0, type="input_json_delta", partial_json='": 1}'),
        delta(1, type="input_json_delta", partial_json=""),
        block(2, "tool_use", id="c", name="whole", input={"x": 2}),
        stopped("tool_use"),
    )

    calls = answer.result(None).message.tool_calls
    assert [(c.model_call_id, c.tool) for c in calls] == [
        ("a", "look"),
        ("b", "find"),
        ("c", "whole"),
    ]
    assert [json.loads(c.arguments.text) for c in calls] == [{"k": 1}, {}, {"x": 2}]


def test_later_figures_replace_earlier_ones_and_cached_tokens_are_part_of_the_input() -> None:
    first = {
        "input_tokens": 60,
        "cache_read_input_tokens": 40,
        "cache_creation_input_tokens": 5,
        "output_tokens": 1,
    }
    _, answer = read(
        {"type": "message_start", "message": {"model": "m", "usage": first}},
        stopped("end_turn", output_tokens=20),
    )
    assert answer.tokens == Tokens(input=105, output=20, cached=40, written=5)

    WIRE.read(json.dumps(stopped("end_turn", input_tokens=70, output_tokens=21)).encode(), answer)
    assert answer.tokens == Tokens(input=115, output=21, cached=40, written=5)


def test_a_refusal_is_no_answer() -> None:
    _, answer = read(block(0, "text", text="I can"), stopped("refusal"))

    with pytest.raises(ModelRefused):
        answer.result(None)


def test_an_answer_that_does_not_say_why_it_ended_was_cut_off() -> None:
    _, answer = read(block(0, "text", text="Hel"), {"type": "message_stop"})

    with pytest.raises(ModelOutputInvalid):
        answer.result(None)


def test_an_error_in_the_stream_is_one() -> None:
    with pytest.raises(Fault) as caught:
        read({"type": "error", "error": {"type": "overloaded_error", "message": "x"}})

    assert caught.value.kind == "overloaded_error"


def test_a_conversation_in_anthropics_terms() -> None:
    """Results of one turn go in one message, and no text is empty: the API wants it so."""
    both = asked("a", arguments='{"key": 1}')
    both.text = "Let me see."
    both.tool_calls.append(asked("b", arguments="{broken").tool_calls[0])
    silent = Message(role=Message.ROLE_ASSISTANT)
    asking = Message(role=Message.ROLE_USER, text="Hi")
    messages = [asking, silent, both, told("a", "1"), told("b", "bad", failed=True)]

    body = WIRE.request("m", llm_turn(max_output_tokens=5), messages)

    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "a", "name": "look", "input": {"key": 1}},
                {
                    "type": "tool_use",
                    "id": "b",
                    "name": "look",
                    "input": {"INVALID_JSON": "{broken"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1", "is_error": False},
                {"type": "tool_result", "tool_use_id": "b", "content": "bad", "is_error": True},
            ],
        },
    ]
    assert body["max_tokens"] == 5
    assert body["system"].startswith("You are a clerk.")
    assert [tool["name"] for tool in body["tools"]] == ["look"]


def test_a_bare_agent_asks_for_nothing_it_has_not() -> None:
    bare = llm_turn(tools=[])
    bare.agent.instructions = ""

    body = WIRE.request("m", bare, [Message(role=Message.ROLE_USER, text="Hi")])

    assert body.keys() == {"model", "max_tokens", "messages", "stream"}
    assert body["max_tokens"] > 1000
