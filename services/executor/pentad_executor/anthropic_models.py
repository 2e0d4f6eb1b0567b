"""Models of Anthropic, by its Messages API."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import aiohttp
from pydantic import BaseModel
from pydantic_core import to_json

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.tool_pb2 import Tool
from pentad_executor.answer import Answer, Ending
from pentad_executor.arguments import told_back
from pentad_executor.config import Config
from pentad_executor.pricing import Count, Tokens
from pentad_executor.prompt import instructions, schema
from pentad_executor.provider import ProviderModel
from pentad_executor.provider_errors import fault_of

_URL = "https://api.anthropic.com"
_VERSION = "2026-10-21"
_MAX_TOKENS = 32_000
"""The API wants a bound. Every model since Claude 4 may write as much."""

_ROLES = {Message.ROLE_USER: "user", Message.ROLE_ASSISTANT: "assistant"}
_ENDINGS = {"tool_use": Ending.CALLS, "refusal": Ending.FILTERED}


class _Usage(BaseModel):
    input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    output_tokens: Count | None = None


class _Message(BaseModel):
    model: str = ""
    usage: _Usage | None = None


class _Block(BaseModel):
    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class _Delta(BaseModel):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(BaseModel):
    """An event of any type; of types and fields that are not read here there may be more."""

    type: str
    index: int = 0
    message: _Message = _Message()
    content_block: _Block | None = None
    delta: _Delta = _Delta()
    usage: _Usage | None = None
    error: object = None


class AnthropicWire:
    """The Messages API."""

    provider = "anthropic"
    variable = "ANTHROPIC_API_KEY"

    def __init__(self, config: Config) -> None:
        base = config.anthropic_base_url or _URL
        self.url = f"{base.rstrip('/')}/v1/messages"
        key = config.anthropic_api_key
        self.headers: Mapping[str, str] = {
            "anthropic-version": _VERSION,
            **({"authorization": f"Bearer {key.get_secret_value()}"} if key else {}),
        }

    def request(
        self, name: str, turn: ExecuteTurnRequest, messages: Sequence[Message]
    ) -> dict[str, Any]:
        """Return the body that asks for a turn."""
        body: dict[str, Any] = {
            "model": name,
            "max_tokens": turn.max_output_tokens or _MAX_TOKENS,
            "messages": _told(messages),
            "stream": True,
        }
        if told := instructions(turn):
            body["system"] = told
        if turn.tools:
            body["tools"] = [_tool(tool) for tool in turn.tools]
        return body

    def read(self, event: bytes, answer: Answer) -> str:
        """Add an event to the answer, and return its piece of text."""
        told = _Event.model_validate_json(event)
        match told.type:
            case "content_block_delta":
                return _read_delta(told.index, told.delta, answer)
            case "content_block_start" if told.content_block:
                return _read_block(told.index, told.content_block, answer)
            case "message_start":
                answer.model = told.message.model or answer.model
                _count(told.message.usage, answer)
            case "message_delta":
                _count(told.usage, answer)
                if reason := told.delta.stop_reason:
                    answer.ending = _ENDINGS.get(reason, Ending.WHOLE)
            case "message_stop":
                answer.over = True
            case "error":
                raise fault_of(told.error)
        return ""


def anthropic_models(config: Config, http: aiohttp.ClientSession) -> ProviderModel:
    """Return the models of the configured endpoint."""
    return ProviderModel(http, AnthropicWire(config), config.max_prompt_bytes)


def _told(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the conversation in Anthropic's terms; results of one turn go in one message."""
    found: list[dict[str, Any]] = []
    for results, group in groupby(messages, lambda message: message.role == Message.ROLE_TOOL):
        if results:
            found.append({"role": "user", "content": [_result(message) for message in group]})
        else:
            found += [
                {"role": _ROLES[message.role], "content": blocks}
                for message in group
                if (blocks := _blocks(message))
            ]
    return found


def _result(message: Message) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": message.model_call_id,
        "content": message.text,
        "is_error": message.failed,
    }


def _blocks(message: Message) -> list[dict[str, Any]]:
    """The message's text, which the API wants not to be empty, and its calls."""
    calls = [
        {
            "type": "tool_use",
            "id": call.model_call_id,
            "name": call.tool,
            "input": told_back(call.arguments.text),
        }
        for call in message.tool_calls
    ]
    return [{"type": "text", "text": message.text}, *calls] if message.text else calls


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": schema(tool)}


def _read_block(index: int, block: _Block, answer: Answer) -> str:
    if block.type == "tool_use":
        call = answer.call(index)
        call.id, call.tool = block.id or "", block.name or ""
        call.arguments = to_json(block.input).decode() if block.input else ""
        answer.hold(len(call.tool) + len(call.arguments))
    return answer.say(block.text) if block.type == "text" and block.text else ""


def _read_delta(index: int, delta: _Delta, answer: Answer) -> str:
    if delta.partial_json:
        answer.hold(len(delta.partial_json))
        answer.call(index).arguments += delta.partial_json
    if delta.thinking:
        answer.hold(len(delta.thinking))
    return answer.say(delta.text) if delta.text else ""


def _count(usage: _Usage | None, answer: Answer) -> None:
    """Add what an event says of the tokens; a later event's figures replace an earlier one's."""
    if usage is None:
        return
    before = answer.tokens or Tokens(0, 0)
    fresh = before.input - before.cached - before.written
    cached = _newest(usage.cache_read_input_tokens, before.cached)
    written = _newest(usage.cache_creation_input_tokens, before.written)
    answer.tokens = Tokens(
        input=_newest(usage.input_tokens, fresh) + cached + written,
        output=_newest(usage.output_tokens, before.output),
        cached=cached,
        written=written,
    )


def _newest(said: int | None, before: int) -> int:
    return before if said is None else said
