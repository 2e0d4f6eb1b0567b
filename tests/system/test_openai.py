"""A run on a language model: the real client library, the true wire format, all five services."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from harness.builders import ask
from harness.openai_server import OpenAIServer, Turn, open_openai_server
from harness.suite import Suite, kinds

from pentad.gateway.v1.run_service_pb2 import CancelRunRequest
from pentad.state.v1.agent_pb2 import Agent

pytestmark = pytest.mark.system

MODEL = "gpt-4o-mini"
ANALYST = Agent(
    name="analyst",
    model=f"openai:{MODEL}",
    instructions="Compute with the calculator.",
    tools=["calculator"],
)
SCRIPT = (
    Turn(
        text="I compute it.",
        calls=[{"name": "calculator", "arguments": {"expression": "6*7"}, "id": "call_a"}],
        prompt_tokens=50,
        completion_tokens=10,
    ),
    Turn(text="The answer is 42, as was to be expected.", prompt_tokens=80, completion_tokens=12),
)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with open_openai_server(SCRIPT, repeat=True) as opened:
        yield opened


@pytest.fixture
def model_suite(new_suite: Callable[..., Suite], server: OpenAIServer) -> Suite:
    return new_suite(OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=server.api_key)


async def test_a_language_model_calls_a_tool_and_answers(
    model_suite: Suite, server: OpenAIServer
) -> None:
    async with model_suite.open() as kit:
        await kit.apply(ANALYST)

        events = await kit.execute(ask("analyst", "What is six times seven?"))

    assert events[-1].run_completed.output == SCRIPT[1].text
    assert kinds(events).count("tool_call_completed") == 1
    usage = events[-1].run_completed.usage
    assert (usage.input_tokens, usage.output_tokens) == (130, 22)
    assert usage.cost_nano_usd > 0
    first, second = server.requests
    assert first["messages"][0]["content"].startswith("Compute with the calculator.")
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert second["messages"][3]["tool_call_id"] == "call_a"
    assert second["messages"][3]["content"] == "42"


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_text_streams_while_it_is_written_and_a_cancel_reaches_the_models_socket(
    new_suite: Callable[..., Suite],
) -> None:
    text = "Let me think about this for a very long time"
    async with open_openai_server([Turn(text=text, hold=True)]) as server:
        suite = new_suite(OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=server.api_key)
        async with suite.open() as kit:
            await kit.apply(ANALYST)
            run = await kit.create(ask("analyst"))
            written = ""
            last = ""
            async for event in kit.events(run.run_id):
                written += event.text_delta.text
                last = event.WhichOneof("kind") or ""
                if written == text:
                    request = CancelRunRequest(run_id=run.run_id, reason="enough")
                    await kit.client.runs.CancelRun(request)

        assert last == "run_cancelled"
        async with asyncio.timeout(5.0):
            await server.left.wait()
