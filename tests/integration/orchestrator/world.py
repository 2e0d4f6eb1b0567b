"""The orchestrator service as it is, among peers that do what a test says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from harness.fake_budgets import FakeBudgets
from harness.fake_registry import FakeRegistry
from harness.fake_state import FakeAgents, FakeRuns, FakeSessions, FakeTraces, StoredRun
from harness.fakes import Behaviour, FakeExecutor, FakeTools, Turn, until
from simulation.jobs import Jobs

from pentad.executor.v1.executor_service_pb2 import (
    ExecuteTurnRequest,
    ExecuteTurnResponse,
    TurnResult,
)
from pentad.executor.v1.executor_service_pb2_grpc import add_ExecutorServiceServicer_to_server
from pentad.orchestrator.v1.orchestrator_service_pb2 import CreateRunRequest
from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from pentad.state.v1.budget_service_pb2_grpc import add_BudgetServiceServicer_to_server
from pentad.state.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall, Usage
from pentad.state.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from pentad.state.v1.run_pb2 import Run, RunSpec
from pentad.state.v1.run_service_pb2_grpc import add_RunServiceServicer_to_server
from pentad.state.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from pentad.state.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest, InvokeToolResponse
from pentad.tools.v1.tools_service_pb2_grpc import add_ToolsServiceServicer_to_server
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.server import serving
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator.app import open_app
from pentad_orchestrator.config import Config


class World:
    """Peers with their knobs, and orchestrators among them."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._opened = 0
        self.runs = FakeRuns()
        self.sessions = FakeSessions()
        self.agents = FakeAgents(Agent(name="clerk", revision=3, tools=["add"]))
        self.traces = FakeTraces()
        self.registry = FakeRegistry()
        self.jobs = Jobs()
        self.budgets = FakeBudgets()
        self.executor = FakeExecutor(says("done"))
        self.tools = FakeTools(add=returns("5"))

    @asynccontextmanager
    async def peers(self) -> AsyncIterator[None]:
        """Serve all peers inside the block."""
        async with self.state(), self.executors(), self.tool_runners():
            yield

    def state(self) -> Any:
        """Serve the state service inside a block."""
        return self._serve(
            "state",
            partial(add_RunServiceServicer_to_server, self.runs),
            partial(add_SessionServiceServicer_to_server, self.sessions),
            partial(add_AgentServiceServicer_to_server, self.agents),
            partial(add_TraceServiceServicer_to_server, self.traces),
            partial(add_RegistryServiceServicer_to_server, self.registry),
            partial(add_JobServiceServicer_to_server, self.jobs),
            partial(add_BudgetServiceServicer_to_server, self.budgets),
        )

    def executors(self) -> Any:
        """Serve the executor service inside a block."""
        return self._serve(
            "executor", partial(add_ExecutorServiceServicer_to_server, self.executor)
        )

    def tool_runners(self) -> Any:
        """Serve the tools service inside a block."""
        return self._serve("tools", partial(add_ToolsServiceServicer_to_server, self.tools))

    @asynccontextmanager
    async def orchestrator(self, **settings: Any) -> AsyncIterator[Any]:
        """Run an orchestrator inside the block; yield a stub of it."""
        self._opened += 1
        quick = {"claim_wait_s": 1.0, "retry_s_first": 0.01, "retry_s_max": 0.05}
        config = Config(
            address=self._at(f"o{self._opened}"),
            state_address=self._at("state"),
            executor_address=self._at("executor"),
            tools_address=self._at("tools"),
            **{"drain_grace_s": 2.0, "text_interval_s": 0.0, **quick, **settings},
        )
        async with AsyncExitStack() as stack:
            telemetry = silent_telemetry("orchestrator")
            await stack.enter_async_context(open_app(config, telemetry))
            channel = await stack.enter_async_context(
                open_channel("orchestrator", config.address, Settings(), silent_telemetry("test"))
            )
            yield OrchestratorServiceStub(channel)

    async def ended(self) -> StoredRun:
        """Return the only run once it has ended."""
        await until(lambda: self.runs.runs and self.runs.only.ended)
        return self.runs.only

    def _at(self, name: str) -> str:
        return f"unix:{self._sockets}/{name}"

    def _serve(self, name: str, *services: Callable[[Any], None]) -> Any:
        settings = Settings(address=self._at(name), drain_grace_s=0.2)
        return serving(settings, silent_telemetry(name), services)


async def create(stub: Any, spec: RunSpec | None = None, request_id: str = "r1") -> Run:
    """Create a run, of the clerk if nothing else is said."""
    spec = spec or RunSpec(agent="clerk", input="what is 2 + 3?")
    request = CreateRunRequest(tenant="acme", spec=spec, request_id=request_id)
    response = await stub.CreateRun(request, timeout=5.0)
    run: Run = response.run
    return run


def says(text: str, *pieces: str, usage: Usage | None = None) -> Turn:
    """Return a turn that streams pieces and answers with a text."""

    async def turn(_: ExecuteTurnRequest) -> AsyncIterator[ExecuteTurnResponse]:
        for piece in pieces:
            yield ExecuteTurnResponse(text_delta=piece)
        yield ExecuteTurnResponse(result=TurnResult(message=Message(text=text), usage=usage))

    return turn


def calls(*tools: str) -> Turn:
    """Return a turn that asks for tools."""

    async def turn(_: ExecuteTurnRequest) -> AsyncIterator[ExecuteTurnResponse]:
        arguments = Payload(content_type="application/json", text="{}")
        wishes = [ToolCall(tool=t, arguments=arguments, model_call_id=f"m{t}") for t in tools]
        yield ExecuteTurnResponse(result=TurnResult(message=Message(tool_calls=wishes)))

    return turn


def writes_until(gate: Callable[[], Awaitable[object]], text: str, *pieces: str) -> Turn:
    """Return a turn that streams pieces, waits, and answers."""

    async def turn(_: ExecuteTurnRequest) -> AsyncIterator[ExecuteTurnResponse]:
        for piece in pieces:
            yield ExecuteTurnResponse(text_delta=piece)
        await gate()
        yield ExecuteTurnResponse(result=TurnResult(message=Message(text=text)))

    return turn


def fails(error: Exception, *pieces: str) -> Turn:
    """Return a turn that breaks."""

    async def turn(_: ExecuteTurnRequest) -> AsyncIterator[ExecuteTurnResponse]:
        for piece in pieces:
            yield ExecuteTurnResponse(text_delta=piece)
        raise error

    return turn


def returns(text: str) -> Behaviour:
    """Return a tool that returns a text."""

    async def tool(_: InvokeToolRequest) -> InvokeToolResponse:
        return InvokeToolResponse(result=Payload(content_type="text/plain", text=text))

    return tool
