"""Models of OpenAI, and of any endpoint that speaks its chat completions."""

from collections.abc import Mapping, Sequence
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

_URL = "https://api.openai.com/v1"
_DONE = b"[DONE]"
_THINKING = {"<think>": True, "</think>": False}
"""Models of one's own may mark their reasoning so, each mark a piece by itself."""

_ENDINGS = {
    "tool_calls": Ending.CALLS,
    "function_call": Ending.CALLS,
    "content_filter": Ending.FILTERED,
    "error": Ending.FAILED,
}


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(BaseModel):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(BaseModel):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _PromptTokens(BaseModel):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _Usage(BaseModel):
    prompt_tokens: Count
    completion_tokens: Count
    prompt_tokens_details: _PromptTokens | None = None


class _Chunk(BaseModel):
    """An event; fields that are not read here are not looked at, for endpoints add their own."""

    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None


class OpenAIWire:
    """The chat completions API."""

    provider = "openai"
    variable = "OPENAI_API_KEY"

    def __init__(self, config: Config) -> None:
        base = config.openai_base_url or _URL
        self.url = f"{base.rstrip('/')}/chat/completions"
        key = config.openai_api_key
        self.headers: Mapping[str, str] = (
            {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        )

    def request(
        self, name: str, turn: ExecuteTurnRequest, messages: Sequence[Message]
    ) -> dict[str, Any]:
        """Return the body that asks for a turn."""
        body: dict[str, Any] = {
            "model": name,
            "messages": [*_system(turn), *(told for m in messages if (told := _message(m)))],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if turn.tools:
            body["tools"] = [_tool(tool) for tool in turn.tools]
        if turn.max_output_tokens:
            body["max_completion_tokens"] = turn.max_output_tokens
        return body

    def read(self, event: bytes, answer: Answer) -> str:
        """Add an event to the answer, and return its piece of text."""
        if event == _DONE:
            answer.over = True
            return ""
        chunk = _Chunk.model_validate_json(event)
        if chunk.error:
            raise fault_of(chunk.error)
        answer.model = chunk.model or answer.model
        if chunk.usage:
            answer.tokens = _tokens(chunk.usage)
        return "".join([_read(choice, answer) for choice in (chunk.choices or ())[:1]])


def openai_models(config: Config, http: aiohttp.ClientSession) -> ProviderModel:
    """Return the models of the configured endpoint."""
    return ProviderModel(http, OpenAIWire(config), config.max_prompt_bytes)


def _system(turn: ExecuteTurnRequest) -> list[dict[str, Any]]:
    told = instructions(turn)
    return [{"role": "system", "content": told}] if told else []


def _message(message: Message) -> dict[str, Any] | None:
    """Return a message in OpenAI's terms; None for an assistant's that says nothing."""
    if message.role == Message.ROLE_TOOL:
        # There is no field for failure, so that it has to show in the text.
        content = _json({"error": message.text}) if message.failed else message.text
        return {"role": "tool", "tool_call_id": message.model_call_id, "content": content}
    if message.role != Message.ROLE_ASSISTANT:
        return {"role": "user", "content": message.text}
    calls = [
        {
            "id": call.model_call_id,
            "type": "function",
            "function": {
                "name": call.tool,
                "arguments": _json(told_back(call.arguments.text)),
            },
        }
        for call in message.tool_calls
    ]
    told: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if calls:
        return {**told, "tool_calls": calls}
    return told if message.text else None


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": schema(tool),
    }
    return {"type": "function", "function": function}


def _read(choice: _Choice, answer: Answer) -> str:
    delta = choice.delta or _Delta()
    if choice.finish_reason and answer.ending is None:
        answer.ending = _ENDINGS.get(choice.finish_reason, Ending.WHOLE)
    if delta.refusal:
        answer.ending = Ending.FILTERED
    for call in delta.tool_calls or ():
        _read_call(call, answer)
    if hidden := delta.refusal or delta.reasoning or delta.reasoning_content:
        answer.hold(len(hidden))
    text = delta.content or ""
    if text in _THINKING:
        answer.thinking = _THINKING[text]
        return ""
    if answer.thinking:
        answer.hold(len(text))
        return ""
    return answer.say(text) if text else ""


def _read_call(fragment: _ToolCall, answer: Answer) -> None:
    function = fragment.function or _Function()
    # Who numbers no calls sends each as a whole.
    call = answer.call(answer.calls if fragment.index is None else fragment.index)
    call.id = fragment.id or call.id
    call.tool += function.name or ""
    call.arguments += function.arguments or ""
    answer.hold(len(function.name or "") + len(function.arguments or ""))


def _tokens(usage: _Usage) -> Tokens:
    details = usage.prompt_tokens_details or _PromptTokens()
    return Tokens(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        cached=details.cached_tokens or 0,
        written=details.cache_write_tokens or 0,
    )


def _json(value: Any) -> str:
    return to_json(value).decode()
