"""Chat completions, event by event."""

import json
from typing import Any

import pytest
from harness.turns import asked, llm_turn, told
from pydantic import SecretStr

from pentad.executor.v1.executor_service_pb2 import TurnResult
from pentad.state.v1.message_pb2 import Message
from pentad_executor.answer import Answer
from pentad_executor.config import Config
from pentad_executor.errors import ModelRefused, ModelUnavailable
from pentad_executor.openai_models import OpenAIWire
from pentad_executor.pricing import Tokens
from pentad_executor.provider_errors import Fault

WIRE = OpenAIWire(Config(openai_api_key=None, openai_base_url="http://127.0.0.1:1/v1/"))


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def read(*events: dict[str, Any]) -> tuple[list[str], Answer]:
    answer = Answer("openai:m")
    return [WIRE.read(json.dumps(event).encode(), answer) for event in events], answer


def turn(*events: dict[str, Any]) -> TurnResult:
    return read(*events)[1].result(None)


def test_a_base_url_may_end_in_a_slash_and_a_key_is_sent_only_if_there_is_one() -> None:
    assert WIRE.url == "http://127.0.0.1:1/v1/chat/completions"
    assert WIRE.headers == {}
    assert OpenAIWire(Config(openai_api_key=SecretStr("k"))).headers == {
        "authorization": "Bearer k"
    }


def test_text_is_passed_on_and_kept() -> None:
    pieces, answer = read(
        {"model": "m-1", **delta(role="assistant", content="")},
        delta(content="Hel"),
        delta(content=None),
        {"model": "m-1", "choices": [{"delta": None}]},
        delta("stop", content="lo"),
    )

    assert pieces == ["", "Hel", "", "", "lo"]
    assert answer.result(None).message.text == "Hello"
    assert answer.model == "m-1"
    assert not answer.over
    WIRE.read(b"[DONE]", answer)
    assert answer.over


def test_an_endpoint_that_names_no_model_answers_with_the_one_asked() -> None:
    assert turn(delta("stop", content="Hi")).model == "m"


def test_an_answer_that_was_cut_at_its_bound_is_one() -> None:
    assert turn(delta("length", content="Hel")).message.text == "Hel"


def test_the_last_usage_counts() -> None:
    details = {"cached_tokens": 3, "cache_write_tokens": 2, "audio_tokens": 0}
    _, answer = read(
        {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 1}},
        {"choices": None, "usage": None},
        {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": details}},
    )

    assert answer.tokens == Tokens(input=10, output=5, cached=3, written=2)


def test_reasoning_is_no_text_whichever_way_it_is_marked() -> None:
    pieces, answer = read(
        delta(reasoning_content="hm"),
        delta(reasoning="hm"),
        delta(content="<think>"),
        delta(content="hm"),
        delta(content="</think>"),
        delta("stop", content="Hi"),
    )

    assert "".join(pieces) == answer.result(None).message.text == "Hi"


def test_a_refusal_is_no_answer() -> None:
    with pytest.raises(ModelRefused):
        turn(delta(refusal="I can"), delta(refusal="not"), delta("stop"))


def test_an_answer_that_the_provider_broke_off_is_none() -> None:
    with pytest.raises(ModelUnavailable):
        turn(delta("error", content="Hel"))


def test_calls_may_alternate_or_come_without_a_number() -> None:
    def call(fields: dict[str, Any], **function: str) -> dict[str, Any]:
        return delta(tool_calls=[{**fields, "function": function}])

    numbered = turn(
        call({"index": 0, "id": "a"}, name="look", arguments=""),
        call({"index": 1, "id": "b"}, name="find", arguments='{"k'),
        call({"index": 0}, arguments='{"x": 1}'),
        call({"index": 1, "id": ""}, arguments='": 2}'),
        delta("tool_calls"),
    ).message.tool_calls
    bare = turn(
        call({"id": "a"}, name="look", arguments="{}"),
        call({"id": "b"}, name="find", arguments="{}"),
        delta("tool_calls"),
    ).message.tool_calls

    assert [(c.model_call_id, c.tool) for c in numbered] == [("a", "look"), ("b", "find")]
    assert [json.loads(c.arguments.text) for c in numbered] == [{"x": 1}, {"k": 2}]
    assert [(c.model_call_id, c.tool) for c in bare] == [("a", "look"), ("b", "find")]


def test_an_error_in_the_stream_is_one() -> None:
    with pytest.raises(Fault) as caught:
        read({"error": {"code": "server_error", "message": "x"}})

    assert caught.value.code == "server_error"


def test_a_conversation_in_openais_terms() -> None:
    both = asked("a", arguments='{"key": 1}')
    both.tool_calls.append(asked("b", arguments="{broken").tool_calls[0])
    silent = Message(role=Message.ROLE_ASSISTANT)
    said = Message(role=Message.ROLE_ASSISTANT, text="yes")
    messages = [silent, said, both, told("a", "1"), told("b", "bad", failed=True)]

    body = WIRE.request("m", llm_turn(max_output_tokens=5), messages)

    calls = [
        {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"key":1}'}},
        {
            "id": "b",
            "type": "function",
            "function": {"name": "look", "arguments": '{"INVALID_JSON":"{broken"}'},
        },
    ]
    system, *rest = body["messages"]
    assert system["role"] == "system"
    assert rest == [
        {"role": "assistant", "content": "yes"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": '{"error":"bad"}'},
    ]
    assert body["max_completion_tokens"] == 5
    assert body["stream_options"] == {"include_usage": True}
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]


def test_a_bare_agent_asks_for_nothing_it_has_not() -> None:
    bare = llm_turn(tools=[])
    bare.agent.instructions = ""

    body = WIRE.request("m", bare, [Message(role=Message.ROLE_USER, text="Hi")])

    assert body.keys() == {"model", "messages", "stream", "stream_options"}
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
