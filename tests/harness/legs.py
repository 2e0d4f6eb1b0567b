"""The hops of the assembly in `wired`, and calls that cross each."""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import grpc
from harness.builders import agent, answer, ask, echo
from harness.wired import BREAKER_RESET_S, HOPS, Hop, Wired, open_wired

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest
from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceStub
from pentad.gateway.v1.run_service_pb2 import (
    CancelRunRequest,
    CreateRunRequest,
    GetRunRequest,
    TailRunRequest,
)
from pentad.gateway.v1.tool_service_pb2 import ListToolsRequest
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.registry_service_pb2 import ListInstancesRequest
from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceStub
from pentad.state.v1.run_pb2 import Run
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest
from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceStub
from pentad_chassis import hop, policy
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.clock import random_id
from pentad_chassis.config import Settings

if TYPE_CHECKING:
    from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceAsyncStub
    from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub
    from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceAsyncStub

DEADLINE_S = 2.0
TRIM_S, TRIM_PART, PATIENCE_S = 0.5, 0.25, 0.3
"""Five services and all who call them share one event loop here, and that with whatever else runs:
what a callee needs to be heard, and what a call needs to say something of its peer, differs from
what they need between machines."""

Call = Callable[["Scene", float], Awaitable[object]]


@dataclass(frozen=True)
class Scene:
    """The assembly, and what tests need of it."""

    wired: Wired
    ended: Run
    """A run with a few events that has ended."""

    executor: "ExecutorServiceAsyncStub"
    """Called in the orchestrator's place, over its way to the executor."""

    registry: "RegistryServiceAsyncStub"
    """Called in the executor's place, over its way to the state service."""

    tools: "ToolsServiceAsyncStub"
    """Called without a fault between."""

    calm: Counter[str]
    """The tasks of an assembly at rest."""


@asynccontextmanager
async def open_scene(*, link: bool) -> AsyncIterator[Scene]:
    """Have an assembly at rest, each of whose hops has been used, while the block runs."""
    # Paths of unix sockets end at about 108 bytes; pytest's folders alone come close to that.
    with tempfile.TemporaryDirectory(prefix="pentad-") as folder, _unhurried():
        async with open_wired(Path(folder), link=link) as wired, AsyncExitStack() as stack:

            async def connect(peer: str, address: str) -> grpc.aio.Channel:
                settings = Settings(breaker_reset_s=BREAKER_RESET_S, link=link)
                opened = open_channel(peer, address, settings, wired.telemetry["client"])
                return await stack.enter_async_context(opened)

            executor = await connect("executor", wired.proxies["orchestrator", "executor"].address)
            registry = await connect("state", wired.proxies["executor", "state"].address)
            tools = await connect("tools", wired.address("tools"))
            await wired.kit.apply(echo(), agent("clerk", answer("done"), tools=["current_time"]))
            (first, *_) = await wired.kit.execute(ask("clerk"))
            scene = Scene(
                wired,
                await wired.kit.get(first.run_id),
                ExecutorServiceStub(executor),
                RegistryServiceStub(registry),
                ToolsServiceStub(tools),
                Counter(),
            )
            for leg in LEGS:
                for call in leg.calls.values():
                    await call(scene, DEADLINE_S)
            await wired.settle(wired.tasks())
            yield replace(scene, calm=wired.tasks())


@contextmanager
def _unhurried() -> Iterator[None]:
    trims = patch.multiple(policy, TRIM_S=TRIM_S, _TRIM_PART=TRIM_PART)
    with trims, patch.object(hop, "_PATIENCE_S", PATIENCE_S):
        yield


async def get_run(scene: Scene, deadline_s: float) -> None:
    request = GetRunRequest(run_id=scene.ended.run_id)
    await scene.wired.kit.client.runs.GetRun(request, timeout=deadline_s)


async def cancel_run(scene: Scene, deadline_s: float) -> None:
    request = CancelRunRequest(run_id=scene.ended.run_id)
    await scene.wired.kit.client.runs.CancelRun(request, timeout=deadline_s)


async def create_run(scene: Scene, deadline_s: float) -> None:
    """Has the orchestrator ask for the catalogue, which it is set not to remember."""
    request = CreateRunRequest(spec=ask("clerk"))
    await scene.wired.kit.client.runs.CreateRun(request, timeout=deadline_s)


async def list_tools(scene: Scene, deadline_s: float) -> None:
    await scene.wired.kit.client.tools.ListTools(ListToolsRequest(), timeout=deadline_s)


async def tail_run(scene: Scene, deadline_s: float) -> None:
    request = TailRunRequest(run_id=scene.ended.run_id)
    tail = scene.wired.kit.client.runs.TailRun(request, timeout=deadline_s)
    async with reading(tail) as responses:
        assert [r async for r in responses], "a run has events"


async def invoke_tool(scene: Scene, deadline_s: float) -> None:
    """Has the tools service enter a call into the ledger."""
    request = InvokeToolRequest(
        tenant="default",
        run_id=scene.ended.run_id,
        call_id=random_id(),
        tool="current_time",
        arguments=Payload(text="{}"),
    )
    await scene.tools.InvokeTool(request, timeout=deadline_s)


async def execute_turn(scene: Scene, deadline_s: float) -> None:
    request = ExecuteTurnRequest(tenant="default", agent=echo(), input="hello", turn=1)
    async with reading(scene.executor.ExecuteTurn(request, timeout=deadline_s)) as responses:
        assert [r async for r in responses], "a turn has a result"


async def list_instances(scene: Scene, deadline_s: float) -> None:
    request = ListInstancesRequest(service="executor")
    await scene.registry.ListInstances(request, timeout=deadline_s)


@dataclass(frozen=True)
class Leg:
    """A hop, the calls that cross it, and whose breaker stands before it."""

    hop: Hop
    calls: Mapping[str, Call]
    breaker: Hop | None = None
    """When the hop's caller is played by the test, its own."""

    def __str__(self) -> str:
        return "-".join(self.hop)

    def breakers(self) -> list[Hop]:
        """Return whose breakers can be looked at: all, but the test's own in the caller's place.

        Without its engine the state service serves nobody, and says so by its health; whether its
        callers' breakers open then depends on how often they call before it is back.
        """
        own = [self.breaker] if self.breaker else []
        unsure = {"engine", "state"} if self.hop[1] == "engine" else {"engine"}
        others = [each for each in HOPS if each[1] not in unsure and not (own and each == self.hop)]
        return [*own, *others]


LEGS = (
    Leg(("client", "gateway"), {"unary": get_run, "stream": tail_run}),
    Leg(("gateway", "orchestrator"), {"unary": cancel_run}),
    Leg(("gateway", "state"), {"unary": get_run, "stream": tail_run}),
    Leg(("gateway", "tools"), {"unary": list_tools}),
    Leg(("orchestrator", "state"), {"unary": cancel_run}),
    Leg(("orchestrator", "executor"), {"stream": execute_turn}, ("client", "executor")),
    Leg(("orchestrator", "tools"), {"unary": create_run}),
    Leg(("tools", "state"), {"unary": invoke_tool}),
    Leg(("executor", "state"), {"unary": list_instances}, ("client", "state")),
    Leg(("state", "engine"), {"unary": get_run, "stream": tail_run}),
)
"""No other hop of these has a stream."""
