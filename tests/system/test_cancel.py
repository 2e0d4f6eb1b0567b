"""Nobody works for callers that are gone: a cancel and a deadline reach the model's socket and the
tool within a second, from every hop.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from harness.builders import agent, answer, ask, call
from harness.faults import DROP
from harness.openai_server import OpenAIServer, Turn, open_openai_server
from harness.suite import TRANSPORTS, until
from harness.wired import Wired, open_wired

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest
from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceStub
from pentad.gateway.v1.run_service_pb2 import CancelRunRequest, ExecuteRunRequest
from pentad.state.v1.agent_pb2 import Agent, Limits
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest
from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceStub
from pentad_chassis.calls import unrepeated
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.clock import random_id
from pentad_chassis.config import Settings
from pentad_chassis.errors import DeadlineExceeded, Unavailable

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

WITHIN_S = 1.0
BEGIN_S = 10.0
SHORT_S = 0.75
"""A deadline that passes while the work is going on."""

GONE = (DeadlineExceeded, Unavailable)

MODEL = "openai:gpt-4o-mini"


class Work(Protocol):
    """Something slow that an agent has done, and that tells when it begins and is stopped."""

    agent: Agent
    service: str
    """Who does it."""

    async def ask_for(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        """Call its service as the orchestrator does."""

    async def begun(self) -> None: ...

    async def stopped(self) -> None: ...


class SlowModel:
    """A model that says a word, and then nothing until its connection is closed."""

    service = "executor"

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server
        self.agent = Agent(name="analyst", model=MODEL)
        server.holding.clear()
        server.left.clear()

    async def ask_for(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        request = ExecuteTurnRequest(tenant="default", agent=self.agent, input="hello", turn=1)
        call = ExecutorServiceStub(channel).ExecuteTurn(request, timeout=timeout_s)
        with unrepeated():
            async with reading(call) as responses:
                async for _ in responses:
                    pass

    async def begun(self) -> None:
        await self._server.holding.wait()

    async def stopped(self) -> None:
        await self._server.left.wait()


class SlowTool:
    """A PURE tool that never ends by itself; see `harness/plugin`."""

    service = "tools"

    def __init__(self, path: Path, tool: str = "linger") -> None:
        self._path = path
        self._tool = tool
        self.agent = agent("loiterer", call("stay", tool, path=str(path)), answer("so?", "stay"))

    async def ask_for(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        request = InvokeToolRequest(
            tenant="default",
            run_id="01direct",
            call_id=random_id(),
            tool=self._tool,
            arguments=Payload(text=json.dumps({"path": str(self._path)})),
        )
        with unrepeated():
            await ToolsServiceStub(channel).InvokeTool(request, timeout=timeout_s)

    async def begun(self) -> None:
        await self._says("began")

    async def stopped(self) -> None:
        await self._says("stopped")

    async def _says(self, word: str) -> None:
        async def said() -> bool:
            return self._path.exists() and word in self._path.read_text("utf-8").split()

        await until(said, what=f"the tool says {word}")


@dataclass(frozen=True)
class Scene:
    wired: Wired
    server: OpenAIServer


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=TRANSPORTS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    turn = Turn(text="Let me think.", hold=True)
    async with open_openai_server([turn], repeat=True) as server:
        with tempfile.TemporaryDirectory(prefix="pentad-") as folder:
            settings = {"openai_base_url": server.base_url, "openai_api_key": server.api_key}
            async with open_wired(Path(folder), link=request.param, **settings) as wired:
                yield Scene(wired, server)


@pytest.fixture(params=["model", "tool"])
def work(request: pytest.FixtureRequest, scene: Scene, tmp_path: Path) -> Work:
    return SlowModel(scene.server) if request.param == "model" else SlowTool(tmp_path / "tool")


@asynccontextmanager
async def stops(work: Work) -> AsyncIterator[None]:
    """Expect of the block that it stops the work, within a second of its end."""
    async with asyncio.timeout(BEGIN_S):
        await work.begun()
    yield
    async with asyncio.timeout(WITHIN_S):
        await work.stopped()


async def start(scene: Scene, work: Work, limits: Limits | None = None) -> Run:
    await scene.wired.kit.apply(work.agent)
    return await scene.wired.kit.create(ask(work.agent.name, limits=limits))


async def cancel(scene: Scene, run_id: str) -> None:
    request = CancelRunRequest(run_id=run_id, reason="enough")
    await scene.wired.kit.client.runs.CancelRun(request)


async def last_of(scene: Scene, run_id: str) -> Event:
    return (await scene.wired.kit.tail(run_id))[-1]


async def test_cancelling_a_run_stops_its_work(scene: Scene, work: Work) -> None:
    run = await start(scene, work)

    async with stops(work):
        await cancel(scene, run.run_id)

    assert (await last_of(scene, run.run_id)).run_cancelled.reason == "enough"


@pytest.mark.parametrize("how", ["leave", "deadline", "connection"])
async def test_a_caller_that_is_gone_stops_the_work_of_a_run_that_is_bound_to_its_stream(
    scene: Scene, work: Work, how: str
) -> None:
    kit = scene.wired.kit
    await kit.apply(work.agent)
    request = ExecuteRunRequest(spec=ask(work.agent.name), cancel_on_disconnect=True)
    timeout_s = 2 * SHORT_S if how == "deadline" else BEGIN_S
    async with AsyncExitStack() as stream:
        call = kit.client.runs.ExecuteRun(request, timeout=timeout_s)
        responses = await stream.enter_async_context(reading(call))
        run_id = (await anext(responses)).events[0].run_id
        async with stops(work):
            if how == "leave":
                await stream.aclose()
            elif how == "connection":
                await scene.wired.proxies["client", "gateway"].begin(DROP)
            else:
                with pytest.raises(DeadlineExceeded):
                    [_ async for _ in responses]

    assert (await last_of(scene, run_id)).run_cancelled.reason == "the caller left"


async def test_leaving_a_stream_leaves_any_other_run_alone(scene: Scene, work: Work) -> None:
    kit = scene.wired.kit
    await kit.apply(work.agent)
    request = ExecuteRunRequest(spec=ask(work.agent.name))
    async with reading(kit.client.runs.ExecuteRun(request)) as responses:
        run_id = (await anext(responses)).events[0].run_id
        async with asyncio.timeout(BEGIN_S):
            await work.begun()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT_S):
            await work.stopped()

    assert (await kit.get(run_id)).status.state == RunStatus.STATE_RUNNING
    async with stops(work):
        await cancel(scene, run_id)


async def test_the_end_of_a_runs_time_stops_its_work(scene: Scene, work: Work) -> None:
    run = await start(scene, work, Limits(wall_time=seconds(2 * SHORT_S)))

    async with stops(work):
        last = await last_of(scene, run.run_id)

    assert last.run_failed.failure.reason == "WALL_TIME_REACHED"


async def test_the_end_of_a_turns_time_closes_the_models_connection(scene: Scene) -> None:
    model = SlowModel(scene.server)
    run = await start(scene, model, Limits(turn_timeout=seconds(SHORT_S)))

    async with stops(model):
        async for event in scene.wired.kit.events(run.run_id):
            if event.HasField("turn_failed"):
                break

    assert event.turn_failed.failure.reason == "MODEL_UNAVAILABLE"
    await cancel(scene, run.run_id)
    await last_of(scene, run.run_id)


async def test_the_end_of_a_tools_time_stops_it(scene: Scene, tmp_path: Path) -> None:
    tool = SlowTool(tmp_path / "tool", "linger_briefly")
    run = await start(scene, tool)

    async with stops(tool):
        events = await scene.wired.kit.tail(run.run_id)

    (told,) = (e.tool_call_completed for e in events if e.HasField("tool_call_completed"))
    assert told.error.reason == "TOOL_TIMEOUT"


@pytest.mark.parametrize("how", ["leave", "deadline", "connection"])
async def test_an_orchestrator_that_is_gone_stops_the_work(
    scene: Scene, work: Work, how: str
) -> None:
    hop = ("orchestrator", work.service)
    proxy, telemetry = scene.wired.proxies[hop], scene.wired.telemetry["client"]
    timeout_s = SHORT_S if how == "deadline" else BEGIN_S
    async with open_channel(work.service, proxy.address, Settings(), telemetry) as channel:
        asking = asyncio.create_task(work.ask_for(channel, timeout_s))
        async with stops(work):
            if how == "leave":
                asking.cancel()
            elif how == "connection":
                await proxy.begin(DROP)
            with suppress(asyncio.CancelledError, *GONE):
                await asking


def seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(value * 1e9))
    return duration
