"""Models behind a provider's HTTP API, spoken by pydantic-ai's model classes.

Imported only where a provider is configured: its libraries take a second to load.
"""

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
from google.protobuf.json_format import MessageToDict
from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, create_async_httpx2_client
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall, Usage
from pentad.state.v1.tool_pb2 import Tool
from pentad_executor.config import Config
from pentad_executor.errors import (
    ModelOutputInvalid,
    ModelOutputTooLarge,
    ModelRefused,
    ModelUnavailable,
)
from pentad_executor.pricing import cost_nano_usd
from pentad_executor.prompt import conversation, instructions
from pentad_executor.provider_errors import to_service_error
from pentad_executor.template import in_order

_STREAM_CHARS_MAX = 4 * 1024 * 1024
"""Text, reasoning and arguments of one turn, together; what is kept of it is bounded tighter."""

_IDLE_CONNECTIONS_MAX = 20


def open_http(config: Config) -> httpx2.AsyncClient:
    """Return the HTTP client of all providers; turns bound their own time, it bounds the rest."""
    return create_async_httpx2_client(
        timeout=httpx2.Timeout(None, connect=config.model_connect_timeout_s),
        limits=httpx2.Limits(
            max_connections=config.model_connections,
            max_keepalive_connections=min(_IDLE_CONNECTIONS_MAX, config.model_connections),
        ),
    )


class ProviderModel:
    """The models of one provider."""

    def __init__(
        self, provider: str, variable: str, open_model: Callable[[str], Model], prompt_bytes: int
    ) -> None:
        self._provider = provider
        self._variable = variable
        self._open_model = open_model
        self._prompt_bytes = prompt_bytes

    async def stream(
        self, name: str, turn: ExecuteTurnRequest
    ) -> AsyncGenerator[str | TurnResult, None]:
        """Yield text as it arrives, then the turn. One attempt: the caller decides on another."""
        reference = f"{self._provider}:{name}"
        messages = to_model_messages(conversation(turn, self._prompt_bytes))
        written: list[str] = []
        chars = 0
        with self._telling(reference):
            async with model_request_stream(
                self._open_model(name),
                messages,
                model_settings=_settings(turn),
                model_request_parameters=_parameters(turn),
                instrument=False,
            ) as response:
                async for event in response:
                    chars += _length(event)
                    if chars > _STREAM_CHARS_MAX:
                        raise ModelOutputTooLarge(reference, "characters", _STREAM_CHARS_MAX)
                    if text := _text(event):
                        written.append(text)
                        yield text
                result = to_result(reference, "".join(written), response.get())
        yield result

    @contextmanager
    def _telling(self, reference: str) -> Iterator[None]:
        try:
            yield
        except ModelAPIError as error:
            raise to_service_error(error, reference, self._variable) from error
        except (
            UnexpectedModelBehavior,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            # The SDKs build their objects without checks, so that an answer of the wrong shape
            # shows as any of these, wherever it is first used.
            raise ModelOutputInvalid(reference, "the answer has the wrong shape") from error


def to_model_messages(messages: Sequence[Message]) -> list[ModelMessage]:
    """Return the conversation in pydantic-ai's terms; results of one turn go in one message."""
    told: list[ModelMessage] = []
    for message in messages:
        if message.role == Message.ROLE_ASSISTANT:
            told.append(ModelResponse(parts=_spoken(message)))
            continue
        part = _heard(message)
        last = told[-1] if told else None
        if isinstance(part, ToolReturnPart) and isinstance(last, ModelRequest):
            last.parts = [*last.parts, part]
        else:
            told.append(ModelRequest(parts=[part]))
    return told


def _heard(message: Message) -> UserPromptPart | ToolReturnPart:
    if message.role != Message.ROLE_TOOL:
        return UserPromptPart(message.text)
    return ToolReturnPart(
        tool_name=message.tool,
        content=message.text,
        tool_call_id=message.model_call_id,
        outcome="failed" if message.failed else "success",
    )


def _spoken(message: Message) -> list[TextPart | ToolCallPart]:
    text = [TextPart(message.text)] if message.text else []
    calls = [ToolCallPart(c.tool, c.arguments.text, c.model_call_id) for c in message.tool_calls]
    return [*text, *calls]


def _settings(turn: ExecuteTurnRequest) -> ModelSettings:
    return ModelSettings(max_tokens=turn.max_output_tokens) if turn.max_output_tokens else {}


def _parameters(turn: ExecuteTurnRequest) -> ModelRequestParameters:
    system = instructions(turn)
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=_schema(tool),
            )
            for tool in turn.tools
        ],
        instruction_parts=[InstructionPart(content=system)] if system else [],
    )


def _schema(tool: Tool) -> dict[str, Any]:
    # In order, so that the prompt has the same bytes each turn and the provider can cache it.
    return in_order(MessageToDict(tool.input_schema)) or {"type": "object", "properties": {}}


def _text(event: ModelResponseStreamEvent) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def _length(event: ModelResponseStreamEvent) -> int:
    match event:
        case PartStartEvent(part=TextPart() | ThinkingPart() as part):
            return len(part.content)
        case PartStartEvent(part=ToolCallPart() as part):
            return len(part.tool_name) + len(part.args_as_json_str())
        case PartDeltaEvent(delta=TextPartDelta() | ThinkingPartDelta() as delta):
            return len(delta.content_delta or "")
        case PartDeltaEvent(delta=ToolCallPartDelta() as delta):
            return len(delta.args_delta) if isinstance(delta.args_delta, str) else 0
        case _:
            return 0


def to_result(reference: str, text: str, response: ModelResponse) -> TurnResult:
    """Return the turn that a finished response holds."""
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    if response.finish_reason == "content_filter":
        raise ModelRefused(reference, "the provider's content filter stopped the answer")
    if response.finish_reason == "error":
        raise ModelUnavailable(reference, "the provider broke the answer off")
    if response.finish_reason == "tool_call" and not calls:
        raise ModelOutputInvalid(reference, "it announces a tool call and makes none")
    usage = response.usage
    return TurnResult(
        message=Message(
            role=Message.ROLE_ASSISTANT,
            text=text,
            tool_calls=[
                ToolCall(
                    tool=call.tool_name,
                    arguments=_arguments(call),
                    model_call_id=call.tool_call_id,
                )
                for call in calls
            ],
        ),
        usage=Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_input_tokens=usage.cache_read_tokens,
            cost_nano_usd=cost_nano_usd(response),
        ),
        model=response.model_name or "",
    )


def _arguments(call: ToolCallPart) -> Payload:
    """What is no JSON object goes on as it is: the tool refuses it, and the model learns why."""
    text = call.args if isinstance(call.args, str) and call.args else call.args_as_json_str()
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    return Payload(content_type="application/json" if is_object else "text/plain", text=text)
