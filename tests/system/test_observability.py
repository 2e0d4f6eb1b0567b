"""What a whole run leaves in logs, spans and numbers: enough to see, and nothing that was said."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from harness.builders import ask, gated
from harness.collector import Collector, running_collector
from harness.openai_server import OpenAIServer, Turn, open_openai_server
from harness.suite import Kit, Suite, free_port, kinds, until

from pentad.gateway.v1.trace_service_pb2 import GetRunTraceRequest
from pentad.state.v1.agent_pb2 import Agent
from pentad_chassis.errors import Unauthenticated

pytestmark = pytest.mark.system

SERVICES = ("state", "tools", "executor", "orchestrator", "gateway")
MODEL = "gpt-4o-mini"
SAID = "planted"
"""Part of everything that a user, a model or a tool says here."""

SCRIPT = (
    Turn(
        text=f"{SAID} by the model",
        calls=[
            {"name": "break_down", "arguments": {"words": f"{SAID} in arguments"}, "id": "call_a"},
            {"name": "calculator", "arguments": {"expression": "6*7"}, "id": "call_b"},
        ],
        prompt_tokens=50,
        completion_tokens=10,
    ),
    Turn(text=f"{SAID} answer", prompt_tokens=80, completion_tokens=12),
)
AGENT = Agent(
    name="analyst",
    model=f"openai:{MODEL}",
    instructions=f"{SAID} instructions",
    tools=["break_down", "calculator"],
    capabilities=["analysis"],
)


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with open_openai_server(SCRIPT, repeat=True) as opened:
        yield opened


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture
def scrapes() -> dict[str, str]:
    """Where each service's numbers are."""
    return {service: f"127.0.0.1:{free_port()}" for service in SERVICES}


@pytest.fixture
def telling(
    new_suite: Callable[..., Suite],
    server: OpenAIServer,
    collector: Collector,
    scrapes: dict[str, str],
) -> Suite:
    """A suite that tells all it can."""
    environment = {
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_API_KEY": server.api_key,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    for service in SERVICES:
        environment[f"PENTAD_{service.upper()}_LOG_LEVEL"] = "debug"
        environment[f"PENTAD_{service.upper()}_METRICS_ADDRESS"] = scrapes[service]
    return new_suite(**environment)


async def test_a_run_leaves_traces_and_numbers_and_no_word_of_what_was_said(
    telling: Suite, server: OpenAIServer, collector: Collector, scrapes: dict[str, str]
) -> None:
    suite = telling
    wrong_key = "pentad_" + "w" * 43
    async with suite.open() as kit:
        await kit.apply(AGENT)
        events = await kit.execute(ask("analyst", f"{SAID} prompt", session_id="s"))
    async with suite.open(key=wrong_key) as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.get(events[0].run_id)
    numbers = {s: await asyncio.to_thread(_scrape, scrapes[s]) for s in SERVICES}
    key = suite.key
    suite.stop()

    assert events[-1].run_completed.output == f"{SAID} answer", kinds(events)
    log = suite.log.read_text("utf-8")
    told = [log, *numbers.values(), str(collector.spans)]
    assert not [event for event in events if server.api_key in str(event)]
    for secret in (SAID, key, wrong_key, server.api_key):
        assert not [text for text in told if secret in text], secret
    _check_log(log, events[0].run_id)
    _check_spans(collector)
    _check_numbers(numbers)


def _check_log(log: str, run_id: str) -> None:
    entries = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {"debug", "info", "error"} <= {entry["level"] for entry in entries}
    (defect,) = [e for e in entries if e["event"] == "a tool failed by a defect"]
    assert defect["exception"].endswith("RuntimeError: [redacted]")
    assert "pentad_test_tools.py" in defect["exception"]
    assert (defect["run_id"], bool(defect["tenant"]), bool(defect["trace_id"])) == (
        run_id,
        True,
        True,
    )


def _check_spans(collector: Collector) -> None:
    names = {span.name for span in collector.spans}
    assert {"invoke_agent analyst", f"chat {MODEL}", "execute_tool break_down"} <= names
    assert collector.services == {f"pentad-{service}" for service in SERVICES}
    traces = {span.trace_id for span in collector.spans if span.name.startswith("chat ")}
    (trace_id,) = traces
    run = [span for span in collector.spans if span.trace_id == trace_id]
    known = {span.span_id for span in run}
    assert all(not s.parent_span_id or s.parent_span_id in known for s in run)


def _check_numbers(numbers: dict[str, str]) -> None:
    for service, line in (
        ("orchestrator", 'agent_requests_total{agent="analyst",outcome="completed",tenant=""} 1.0'),
        ("orchestrator", 'active_agents{capability="analysis"} 0.0'),
        ("orchestrator", 'pentad_runs_ended_total{outcome="completed",reason=""} 1.0'),
        ("executor", f'model="{MODEL}",provider="openai",tenant="",type="input"}} 130.0'),
        ("executor", f'model="{MODEL}",provider="openai",tenant="",type="output"}} 22.0'),
        ("tools", 'pentad_tool_calls_total{outcome="TOOL_FAILED",tool="break_down"} 1.0'),
        ("tools", 'pentad_tool_calls_total{outcome="OK",tool="calculator"} 1.0'),
        ("state", "pentad_schedule_depth 0.0"),
        ("gateway", 'rpc_response_status_code="UNAUTHENTICATED"} 1.0'),
    ):
        assert line in numbers[service], numbers[service]
    assert "# {trace_id=" in numbers["executor"]


async def test_an_owners_span_is_known_before_it_ends(kit: Kit, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    await kit.apply(gated("watched", str(gate)))
    run = await kit.create(ask("watched"))

    async def ends() -> list[bool]:
        request = GetRunTraceRequest(run_id=run.run_id)
        found = (await kit.client.traces.GetRunTrace(request)).spans
        return [s.HasField("end_time") for s in found if s.name == "invoke_agent watched"]

    async def begun() -> bool:
        return await ends() == [False]

    async def ended() -> bool:
        return await ends() == [True]

    await until(begun, what="the span is there, without an end")
    gate.touch()
    await until(ended, what="the same span has its end")


def _scrape(address: str) -> str:
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    request = urllib.request.Request(f"http://{address}/metrics", headers=accept)
    with urllib.request.urlopen(request, timeout=5) as response:
        body: bytes = response.read()
        return body.decode()
