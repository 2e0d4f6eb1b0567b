"""Answers that executors keep in a real state service, and what they do without one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from harness.engines import running_engine
from harness.fake_entries import FakeEntries
from harness.openai_server import OpenAIServer, Turn, open_openai_server
from harness.suite import until
from harness.turns import asked, llm_turn, told
from pydantic import SecretStr

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest
from pentad.state.v1.entry_service_pb2_grpc import add_EntryServiceServicer_to_server
from pentad.state.v1.tool_pb2 import Effect
from pentad_chassis import semconv
from pentad_chassis.config import Settings
from pentad_chassis.server import serving
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_app
from pentad_state.config import Config

from .conftest import Executor, OpenExecutor

PATIENT = {"cache_timeout_s": 5.0}
"""An answer that is there is found, however busy the machine."""


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_engine("valkey") as url:
        yield url


@asynccontextmanager
async def state(tmp_path: Path, engine: str) -> AsyncIterator[None]:
    """Serve the state service where the executor looks for it."""
    url = SecretStr(engine)
    config = Config(address=f"unix:{tmp_path}/state", redis_url=url, drain_grace_s=0.1)
    async with open_app(config, silent_telemetry("state")):
        yield


@asynccontextmanager
async def playing(
    open_executor: OpenExecutor, server: OpenAIServer, **settings: float
) -> AsyncIterator[Executor]:
    given = {"openai_api_key": server.api_key, "openai_base_url": server.base_url}
    async with open_executor(**given, **settings) as executor:
        yield executor


def counted(executor: Executor, what: str, outcome: str) -> float:
    labels = {"agent": "clerk", "tenant": "", "outcome": outcome}
    name = f"pentad_response_cache_{what}_total"
    return executor.telemetry.metrics.registry.get_sample_value(name, labels) or 0.0


def question(text: str, ttl_s: int = 3600, tenant: str = "acme") -> ExecuteTurnRequest:
    turn = llm_turn(text=text, tenant=tenant)
    turn.agent.response_cache.ttl.FromSeconds(ttl_s)
    turn.tools[0].effect = Effect.EFFECT_PURE
    return turn


async def test_one_executor_gives_again_what_another_was_answered(
    open_executor: OpenExecutor, tmp_path: Path, engine: str
) -> None:
    script = Turn(text="I look.", calls=[{"name": "look", "arguments": {"key": "x"}}])
    async with state(tmp_path, engine), open_openai_server([script]) as server:
        async with playing(open_executor, server, **PATIENT) as executor:
            pieces, first = await executor.turn(question("shared"))
            assert counted(executor, "stores", "stored") == 1
        async with playing(open_executor, server, **PATIENT) as executor:
            kept, again = await executor.turn(question("shared"))
            assert counted(executor, "lookups", "hit") == 1
            spans = executor.telemetry.spans.take()

    assert len(server.requests) == 1
    assert "".join(pieces) == "".join(kept) == "I look."
    assert again.message == first.message
    assert (again.model, again.from_cache) == (first.model, True)
    assert first.usage.input_tokens > 0
    assert (again.usage.input_tokens, again.usage.output_tokens) == (0, 0)
    assert again.usage.HasField("cost_nano_usd")
    assert again.usage.cost_nano_usd == 0
    (chat,) = (span for span in spans if span.name.startswith("chat"))
    assert chat.attributes[semconv.PENTAD_RESPONSE_CACHE] == "hit"


async def test_the_ids_that_a_model_gives_calls_do_not_hide_an_answer(
    open_executor: OpenExecutor, tmp_path: Path, engine: str
) -> None:
    first, again = question("ids"), question("ids")
    for turn, name in ((first, "call_a"), (again, "call_b")):
        turn.messages.extend([asked(name, arguments='{"key": "x"}'), told(name, "found")])
    async with (
        state(tmp_path, engine),
        open_openai_server([Turn(text="Done")]) as server,
        playing(open_executor, server, **PATIENT) as executor,
    ):
        await executor.turn(first)
        _, result = await executor.turn(again)

    assert result.from_cache


async def test_another_tenant_asks_for_itself(
    open_executor: OpenExecutor, tmp_path: Path, engine: str
) -> None:
    async with (
        state(tmp_path, engine),
        open_openai_server([Turn(text="mine"), Turn(text="theirs")]) as server,
        playing(open_executor, server, **PATIENT) as executor,
    ):
        await executor.turn(question("tenants", tenant="acme"))
        _, theirs = await executor.turn(question("tenants", tenant="other"))
        _, mine = await executor.turn(question("tenants", tenant="acme"))

    assert (theirs.message.text, theirs.from_cache) == ("theirs", False)
    assert (mine.message.text, mine.from_cache) == ("mine", True)


async def test_an_answer_is_given_again_for_its_time_and_no_longer(
    open_executor: OpenExecutor, tmp_path: Path, engine: str
) -> None:
    async with (
        state(tmp_path, engine),
        open_openai_server([Turn(text="new")], repeat=True) as server,
        playing(open_executor, server, **PATIENT) as executor,
    ):
        await executor.turn(question("brief", ttl_s=1))
        assert counted(executor, "stores", "stored") == 1

        async def asked_again() -> bool:
            await executor.turn(question("brief", ttl_s=1))
            return len(server.requests) > 1

        await until(asked_again, what="the model is asked again")


async def test_an_answer_too_large_for_an_entry_is_given_and_not_kept(
    open_executor: OpenExecutor, tmp_path: Path, engine: str
) -> None:
    raw = '{"model": "m", "choices": [{"delta": {"content": "%s"}, "finish_reason": null}]}'
    end = '{"model": "m", "choices": [{"delta": {}, "finish_reason": "stop"}]}'
    large = Turn(raw=[raw % ("x" * 200_000), raw % ("y" * 200_000), end])
    async with (
        state(tmp_path, engine),
        open_openai_server([large], repeat=True) as server,
        playing(open_executor, server, **PATIENT) as executor,
    ):
        for _ in range(2):
            _, result = await executor.turn(question("large"))
            assert len(result.message.text) == 400_000
            assert not result.from_cache
        assert counted(executor, "stores", "unfit") == 2


async def test_without_a_state_service_every_turn_asks_the_model(
    open_executor: OpenExecutor,
) -> None:
    async with (
        open_openai_server([Turn(text="Hi")], repeat=True) as server,
        playing(open_executor, server) as executor,
    ):
        for _ in range(2):
            _, result = await executor.turn(question("away"))
            assert result.message.text == "Hi"
        assert counted(executor, "lookups", "error") == 2

    assert len(server.requests) == 2


async def test_a_state_service_that_says_nothing_is_waited_for_no_longer_than_set(
    open_executor: OpenExecutor, tmp_path: Path
) -> None:
    entries = FakeEntries()
    entries.hangs = True
    settings = Settings(address=f"unix:{tmp_path}/state", drain_grace_s=0.1)
    add = partial(add_EntryServiceServicer_to_server, entries)
    async with (
        serving(settings, silent_telemetry("state"), [add]),
        open_openai_server([Turn(text="Hi")]) as server,
        playing(open_executor, server, cache_timeout_s=0.05) as executor,
    ):
        _, result = await executor.turn(question("silent"))
        assert counted(executor, "lookups", "error") == 1
        assert counted(executor, "stores", "error") == 1

    assert result.message.text == "Hi"
    assert entries.puts == []
