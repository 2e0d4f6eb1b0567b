import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

import pytest
from harness.fake_budgets import FakeBudgets
from harness.fake_entries import FakeEntries
from harness.fakes import direct
from harness.turns import llm_turn

from pentad.executor.v1.executor_service_pb2 import (
    ExecuteTurnRequest,
    ExecuteTurnResponse,
    TurnResult,
)
from pentad.state.v1.budget_service_pb2 import Price
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall
from pentad.state.v1.tool_pb2 import Effect
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import ServiceError
from pentad_chassis.semconv import PENTAD_RESPONSE_CACHE
from pentad_chassis.telemetry import Telemetry, open_telemetry, silent_telemetry
from pentad_executor.budgets import Budgets
from pentad_executor.cache import ResponseCache
from pentad_executor.config import Config
from pentad_executor.core import ExecutorCore, check
from pentad_executor.errors import (
    ModelNotConfigured,
    ModelOutputInvalid,
    ModelOutputTooLarge,
    ModelUnavailable,
    ModelUnknown,
)
from pentad_executor.metrics import CacheMetrics, ModelMetrics
from pentad_executor.models import Call, MissingKey, Providers
from pentad_executor.settlements import Settlements

if TYPE_CHECKING:
    from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub


class ScriptedModel:
    """Says what it is given, then waits for ever if told to; knows whether it was closed."""

    def __init__(self, said: Sequence[str | TurnResult], *, hang: bool = False) -> None:
        self._said = said
        self._hang = hang
        self.asked = 0
        self.closed = False

    async def stream(
        self, name: str, turn: ExecuteTurnRequest, call: Call
    ) -> AsyncGenerator[str | TurnResult, None]:
        assert name == "gpt-4o-mini"
        assert turn.agent.name == "clerk"
        self.asked += 1
        try:
            for piece in self._said:
                yield piece
            if self._hang:
                await asyncio.Event().wait()
        finally:
            self.closed = True

    def weigh(self, name: str, turn: ExecuteTurnRequest) -> int:
        return 0

    def price(self, name: str, input_tokens: int, output_tokens: int) -> Price | None:
        return None


def result(text: str = "", calls: Sequence[ToolCall] = ()) -> TurnResult:
    return TurnResult(message=Message(role=Message.ROLE_ASSISTANT, text=text, tool_calls=calls))


def call(tool: str = "look", arguments: str = "{}") -> ToolCall:
    return ToolCall(tool=tool, arguments=Payload(text=arguments))


def core_with(
    model: ScriptedModel,
    telemetry: Telemetry | None = None,
    entries: FakeEntries | None = None,
) -> ExecutorCore:
    providers: Providers = {"openai": model, "anthropic": MissingKey("ANTHROPIC_API_KEY")}
    telemetry = telemetry or silent_telemetry("executor")
    cache = ResponseCache(
        direct(entries or FakeEntries()),
        Config(),
        CacheMetrics(telemetry.metrics),
        telemetry.log,
    )
    metrics = ModelMetrics(telemetry.metrics)
    state: BudgetServiceAsyncStub = direct(FakeBudgets())
    budgets = Budgets(state, Settlements(state, telemetry.log), Config(), FakeClock())
    return ExecutorCore(providers, cache, budgets, telemetry, metrics, turn_timeout_s=30)


def cached_turn() -> ExecuteTurnRequest:
    turn = llm_turn()
    turn.agent.response_cache.ttl.FromSeconds(60)
    return turn


async def take(core: ExecutorCore, turn: ExecuteTurnRequest) -> list[ExecuteTurnResponse]:
    return [response async for response in core.execute_turn(turn)]


async def test_pieces_are_passed_on_in_order_and_the_turn_is_the_last() -> None:
    model = ScriptedModel(["Hel", "lo", result("Hello")])

    found = await take(core_with(model), llm_turn())

    assert [r.text_delta for r in found] == ["Hel", "lo", ""]
    assert found[-1].result.message.text == "Hello"
    assert model.closed


@pytest.mark.parametrize("reference", ["gpt-4o-mini", "openai:", "", "acme:x", ":x"])
async def test_a_model_of_no_known_provider_is_unknown(reference: str) -> None:
    with pytest.raises(ModelUnknown, match="openai:NAME") as caught:
        await take(core_with(ScriptedModel([])), llm_turn(model=reference))

    assert caught.value.metadata == {"model": reference}


async def test_a_provider_without_a_key_names_the_variable_to_set() -> None:
    with pytest.raises(ModelNotConfigured) as caught:
        await take(core_with(ScriptedModel([])), llm_turn(model="anthropic:claude"))

    assert caught.value.metadata["variable"] == "ANTHROPIC_API_KEY"


async def test_a_turn_that_takes_too_long_ends_and_its_model_is_closed() -> None:
    model = ScriptedModel(["Hel"], hang=True)
    turn = llm_turn()
    turn.timeout.FromMilliseconds(20)

    with pytest.raises(ModelUnavailable, match=r"no answer within 0\.02 s"):
        await take(core_with(model), turn)

    assert model.closed


async def test_a_reader_that_leaves_closes_the_model() -> None:
    model = ScriptedModel(["Hel"], hang=True)
    responses = core_with(model).execute_turn(llm_turn())

    await anext(responses)
    await responses.aclose()

    assert model.closed


async def test_text_without_end_is_cut_off_while_it_streams() -> None:
    model = ScriptedModel(["x" * 600_000, "x" * 600_000, "never", result("x")])

    with pytest.raises(ModelOutputTooLarge):
        await take(core_with(model), llm_turn())


async def test_text_that_is_no_unicode_is_no_answer() -> None:
    with pytest.raises(ModelOutputInvalid):
        await take(core_with(ScriptedModel(["\ud800"])), llm_turn())


@pytest.mark.parametrize(
    ("turn", "error"),
    [
        (result(""), ModelOutputInvalid),
        (result(" \n"), ModelOutputInvalid),
        (result(calls=[call("")]), ModelOutputInvalid),
        (result(calls=[call("x" * 257)]), ModelOutputInvalid),
        (result("x" * (1024 * 1024 + 1)), ModelOutputTooLarge),
        (result(calls=[call()] * 65), ModelOutputTooLarge),
        (result(calls=[call(arguments="x" * (256 * 1024 + 1))]), ModelOutputTooLarge),
    ],
)
def test_what_is_no_turn_or_too_large_for_one_is_refused(
    turn: TurnResult, error: type[ServiceError]
) -> None:
    with pytest.raises(error):
        check(turn, "openai:gpt-4o-mini")


def test_a_turn_as_large_as_allowed_passes() -> None:
    calls = [call("x" * 256, "é" * (128 * 1024)), *[call()] * 63]
    check(result("é" * (512 * 1024), calls), "openai:gpt-4o-mini")


async def test_a_reader_that_has_the_result_may_leave_and_the_turn_counts_as_done() -> None:
    telemetry = open_telemetry("executor", "error")
    model = ScriptedModel([result("Hello")])
    responses = core_with(model, telemetry).execute_turn(llm_turn())

    await anext(responses)
    await responses.aclose()

    (span,) = telemetry.spans.take()
    assert not span.failed
    assert model.closed


async def test_an_agent_with_a_cache_asks_once_and_is_answered_again() -> None:
    telemetry = open_telemetry("executor", "error")
    model = ScriptedModel(["Hel", "lo", result("Hello")])
    core = core_with(model, telemetry)

    first = await take(core, cached_turn())
    again = await take(core, cached_turn())

    assert model.asked == 1
    assert [r.text_delta for r in first] == ["Hel", "lo", ""]
    assert [r.text_delta for r in again] == ["Hello", ""]
    assert not first[-1].result.from_cache
    assert again[-1].result.from_cache
    assert again[-1].result.message == first[-1].result.message
    spans = telemetry.spans.take()
    assert [span.attributes[PENTAD_RESPONSE_CACHE] for span in spans] == ["miss", "hit"]
    name = "gen_ai_client_operation_duration_seconds_count"
    calls = [s for m in telemetry.metrics.registry.collect() for s in m.samples if s.name == name]
    assert [call.value for call in calls] == [1], "a kept answer is no call of a model"


async def test_an_agent_without_a_cache_asks_each_time_and_leaves_nothing() -> None:
    telemetry = open_telemetry("executor", "error")
    entries = FakeEntries()
    model = ScriptedModel([result("Hello")])
    core = core_with(model, telemetry, entries)

    for _ in range(2):
        assert not (await take(core, llm_turn()))[-1].result.from_cache

    assert model.asked == 2
    assert entries.values == {}
    assert all(PENTAD_RESPONSE_CACHE not in span.attributes for span in telemetry.spans.take())


async def test_a_call_of_a_tool_is_given_again_without_a_text() -> None:
    wish = ToolCall(tool="look", arguments=Payload(content_type="application/json", text="{}"))
    model = ScriptedModel([result(calls=[wish])])
    core = core_with(model)
    turn = cached_turn()
    turn.tools[0].effect = Effect.EFFECT_PURE

    await take(core, turn)
    (only,) = await take(core, turn)

    assert model.asked == 1
    assert only.result.message.tool_calls == [wish]


async def test_what_is_no_turn_is_not_kept() -> None:
    entries = FakeEntries()
    with pytest.raises(ModelOutputInvalid):
        await take(core_with(ScriptedModel([result(" ")]), entries=entries), cached_turn())

    assert entries.values == {}


async def test_a_turn_that_its_reader_leaves_is_not_kept() -> None:
    entries = FakeEntries()
    model = ScriptedModel(["Hel"], hang=True)
    responses = core_with(model, entries=entries).execute_turn(cached_turn())

    await anext(responses)
    await responses.aclose()

    assert model.closed
    assert entries.values == {}


async def test_a_cache_that_is_away_fails_no_turn() -> None:
    entries = FakeEntries()
    entries.away = True
    model = ScriptedModel([result("Hello")])
    core = core_with(model, entries=entries)

    for _ in range(2):
        assert (await take(core, cached_turn()))[-1].result.message.text == "Hello"

    assert model.asked == 2
