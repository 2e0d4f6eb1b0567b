"""One turn: the model is chosen, its time and its output are bounded, its work is traced."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

from pentad.executor.v1.executor_service_pb2 import (
    ExecuteTurnRequest,
    ExecuteTurnResponse,
    TurnResult,
)
from pentad_chassis import semconv
from pentad_chassis.telemetry import Telemetry
from pentad_executor.budgets import Budgets
from pentad_executor.cache import ResponseCache
from pentad_executor.errors import ModelOutputInvalid, ModelOutputTooLarge, ModelUnavailable
from pentad_executor.metrics import ModelMetrics
from pentad_executor.models import Choice, Providers, choose

TEXT_BYTES_MAX = 1024 * 1024
TOOL_CALLS_MAX = 64
ARGUMENTS_BYTES_MAX = 256 * 1024
_TOOL_NAME_MAX = 256


class ExecutorCore:
    """Performs turns; keeps nothing of them."""

    def __init__(
        self,
        providers: Providers,
        cache: ResponseCache,
        budgets: Budgets,
        telemetry: Telemetry,
        metrics: ModelMetrics,
        turn_timeout_s: float,
    ) -> None:
        self._providers = providers
        self._cache = cache
        self._budgets = budgets
        self._telemetry = telemetry
        self._metrics = metrics
        self._turn_timeout_s = turn_timeout_s
        self.in_hand = 0
        """Turns being performed."""

    async def execute_turn(
        self, turn: ExecuteTurnRequest
    ) -> AsyncGenerator[ExecuteTurnResponse, None]:
        """Yield what the agent's model writes, or once wrote, then the turn as a whole."""
        choice = choose(self._providers, turn.agent.model)
        result: TurnResult | None = None
        with (
            self._counting(),
            self._telemetry.span(
                f"chat {choice.name}", kind="client", attributes=_attributes(turn, choice)
            ) as span,
        ):
            place = self._cache.place(turn)
            found = await self._cache.find(place) if place else None
            if place:
                span.set_attribute(semconv.PENTAD_RESPONSE_CACHE, "hit" if found else "miss")
            async with aclosing(_again(found) if found else self._ask(choice, turn)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, TurnResult):
                        result = piece
                        break
                    yield ExecuteTurnResponse(text_delta=piece)
            if result is not None:
                span.set_attributes(_measured(result))
            if result is not None and place and not found:
                await self._cache.keep(place, turn, result)
        if result is not None:
            # Outside of the span: who has the result leaves, and the turn is none the worse for it.
            yield ExecuteTurnResponse(result=result)

    async def _ask(
        self, choice: Choice, turn: ExecuteTurnRequest
    ) -> AsyncGenerator[str | TurnResult, None]:
        """Yield what the model writes, then the turn, in time and of a size that can be kept."""
        timeout_s = turn.timeout.ToTimedelta().total_seconds() or self._turn_timeout_s
        result: TurnResult | None = None
        async with self._budgets.spending(choice, turn, timeout_s) as allowance:
            with self._metrics.turn(choice):
                stream = choice.model.stream(choice.name, turn, allowance.call)
                async with aclosing(_written(stream, timeout_s, turn.agent.model)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, TurnResult):
                            self._metrics.consumed(turn, choice, piece)
                            self._budgets.mark(allowance, piece)
                            result = piece
                            break
                        yield piece
        if result is not None:
            # Outside of the count: who has the result leaves.
            yield result

    @contextmanager
    def _counting(self) -> Iterator[None]:
        self.in_hand += 1
        try:
            yield
        finally:
            self.in_hand -= 1


async def _again(result: TurnResult) -> AsyncGenerator[str | TurnResult, None]:
    if result.message.text:
        yield result.message.text
    yield result


async def _written(
    stream: AsyncGenerator[str | TurnResult, None], timeout_s: float, model: str
) -> AsyncGenerator[str | TurnResult, None]:
    """Pass on what a model writes, in time and of a size that can be kept."""
    text_bytes = 0
    async with aclosing(stream) as pieces:
        async for piece in _within(timeout_s, pieces, model):
            if isinstance(piece, TurnResult):
                check(piece, model)
            else:
                text_bytes += _bytes_of(piece, model)
                if text_bytes > TEXT_BYTES_MAX:
                    raise ModelOutputTooLarge(model, "bytes of text", TEXT_BYTES_MAX)
            yield piece


async def _within(
    timeout_s: float, pieces: AsyncIterator[str | TurnResult], model: str
) -> AsyncIterator[str | TurnResult]:
    """Pass pieces on until the time is over; it is bound to each wait, never across a yield."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise ModelUnavailable(model, f"no answer within {timeout_s:g} s") from None
        if piece is None:
            return
        yield piece


def check(result: TurnResult, model: str) -> None:
    """Raise unless the result is a turn, of a size that can be journalled."""
    message = result.message
    if not message.tool_calls and not message.text.strip():
        raise ModelOutputInvalid(model, "it has neither text nor a tool call")
    if len(message.text.encode()) > TEXT_BYTES_MAX:
        raise ModelOutputTooLarge(model, "bytes of text", TEXT_BYTES_MAX)
    if len(message.tool_calls) > TOOL_CALLS_MAX:
        raise ModelOutputTooLarge(model, "tool calls", TOOL_CALLS_MAX)
    for call in message.tool_calls:
        if not 0 < len(call.tool) <= _TOOL_NAME_MAX:
            raise ModelOutputInvalid(model, "it calls a tool without a usable name")
        if len(call.arguments.text.encode()) > ARGUMENTS_BYTES_MAX:
            raise ModelOutputTooLarge(model, "bytes of arguments", ARGUMENTS_BYTES_MAX)


def _bytes_of(piece: str, model: str) -> int:
    try:
        return len(piece.encode())
    except UnicodeEncodeError:
        raise ModelOutputInvalid(model, "its text is no Unicode") from None


def _attributes(turn: ExecuteTurnRequest, choice: Choice) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        semconv.GEN_AI_OPERATION_NAME: semconv.OPERATION_CHAT,
        semconv.GEN_AI_PROVIDER_NAME: choice.provider,
        semconv.GEN_AI_REQUEST_MODEL: choice.name,
        semconv.GEN_AI_AGENT_NAME: turn.agent.name,
        semconv.PENTAD_RUN_ID: turn.run_id,
        semconv.PENTAD_TENANT: turn.tenant,
        semconv.PENTAD_TURN: turn.turn,
    }
    if turn.max_output_tokens:
        attributes[semconv.GEN_AI_REQUEST_MAX_TOKENS] = turn.max_output_tokens
    return attributes


def _measured(result: TurnResult) -> dict[str, str | int]:
    return {
        semconv.GEN_AI_RESPONSE_MODEL: result.model,
        semconv.GEN_AI_USAGE_INPUT_TOKENS: result.usage.input_tokens,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: result.usage.output_tokens,
        semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: result.usage.cached_input_tokens,
    }
