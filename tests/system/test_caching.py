"""The response cache over the public API: who shares an answer, for how long, and who asks."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from harness.builders import ask
from harness.engines import running_engine
from harness.openai_server import OpenAIServer, Turn, open_openai_server
from harness.suite import Kit, Suite, kinds, until

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.event_pb2 import Event
from pentad_chassis.telemetry import silent_telemetry
from pentad_gateway.auth import SCOPE, KeyHolder
from pentad_gateway.keys import digest, generate_key
from pentad_state.app import open_core
from pentad_state.config import Config

pytestmark = pytest.mark.system

CALL = Turn(
    text="I compute it.",
    calls=[{"name": "calculator", "arguments": {"expression": "6*7"}, "id": "call_a"}],
)
ANSWER = Turn(text="The answer is 42.")
WITH_CALLS = 8
SCRIPT = (*(CALL, ANSWER) * (WITH_CALLS // 2), *(ANSWER,) * 1000)
"""Runs with a call and an answer, then some without a call; the server does not look at more."""


def analyst(name: str, ttl_s: int = 0) -> Agent:
    """Return an agent on a language model, with a cache if its answers are to live."""
    agent = Agent(
        name=name,
        model="openai:gpt-4o-mini",
        instructions="Compute with the calculator.",
        tools=["calculator"],
    )
    if ttl_s:
        agent.response_cache.ttl.FromSeconds(ttl_s)
    return agent


PLAIN, KEPT, BRIEF = analyst("plain"), analyst("kept", 3600), analyst("brief", 1)


@pytest.fixture
def engine() -> Iterator[str]:
    with running_engine("valkey") as url:
        yield url


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with open_openai_server(SCRIPT) as opened:
        yield opened


@pytest.fixture
def caching(new_suite: Callable[..., Suite], server: OpenAIServer, engine: str) -> Suite:
    return new_suite(
        OPENAI_BASE_URL=server.base_url,
        OPENAI_API_KEY=server.api_key,
        PENTAD_STATE_REDIS_URL=engine,
        PENTAD_EXECUTOR_CACHE_TIMEOUT_S="5",
    )


async def key_of(tenant: str, engine: str) -> str:
    """Return a key of another tenant, entered where the gateway looks for keys."""
    key = generate_key()
    holder = KeyHolder(tenant=tenant, name="test").model_dump_json().encode()
    async with open_core(engine, Config(), silent_telemetry("state")) as core:
        await core.entries.put(SCOPE, digest(key), holder, None, None)
    return key


async def turns(kit: Kit, agent: Agent) -> list[Event]:
    """Have a run done; return its turns."""
    events = await kit.execute(ask(agent.name, "What is six times seven?"))
    end = events[-1].run_completed
    assert end.output == ANSWER.text
    found = [event for event in events if event.WhichOneof("kind") == "turn_completed"]
    usages = [event.turn_completed.usage for event in found]
    assert end.usage.input_tokens == sum(usage.input_tokens for usage in usages)
    assert end.usage.cost_nano_usd == sum(usage.cost_nano_usd for usage in usages)
    calls = sum(len(event.turn_completed.message.tool_calls) for event in found)
    assert kinds(events).count("tool_call_completed") == calls, "tools are called all the same"
    return found


def from_cache(found: list[Event]) -> list[bool]:
    return [event.turn_completed.from_cache for event in found]


async def test_answers_are_kept_for_their_agent_their_tenant_and_their_time(
    caching: Suite, server: OpenAIServer, engine: str
) -> None:
    async with caching.open() as kit:
        await kit.apply(PLAIN, KEPT, BRIEF)

        for _ in range(2):
            assert from_cache(await turns(kit, PLAIN)) == [False, False]
        assert len(server.requests) == 4, "off by default"

        first = await turns(kit, KEPT)
        again = await turns(kit, KEPT)
        assert len(server.requests) == 6
        assert (from_cache(first), from_cache(again)) == ([False, False], [True, True])
        assert [e.turn_completed.usage.input_tokens for e in again] == [0, 0]
        assert [e.turn_completed.usage.HasField("cost_nano_usd") for e in again] == [True, True]
        said = [[e.turn_completed.message for e in found] for found in (first, again)]
        assert said[0] == said[1]

        shown = [caching.pentad("show", found[0].run_id, "--events") for found in (first, again)]
        assert ["from the response cache" in each.stdout for each in shown] == [False, True]

        async with caching.open(await key_of("other", engine)) as others:
            await others.apply(KEPT)
            assert from_cache(await turns(others, KEPT)) == [False, False]
            assert from_cache(await turns(others, KEPT)) == [True, True]
        assert len(server.requests) == WITH_CALLS

        await turns(kit, BRIEF)

        async def asks_again() -> bool:
            return from_cache(await turns(kit, BRIEF)) == [False]

        await until(asks_again, what="the answer is forgotten")
