"""Peers in memory, as servicers: an executor and tools that do what a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pentad.executor.v1 import executor_service_pb2 as executor_pb
from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceServicer
from pentad.state.v1.message_pb2 import ToolError
from pentad.state.v1.tool_pb2 import EFFECT_ONCE, Effect, Tool
from pentad.tools.v1 import tools_service_pb2 as tools_pb
from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceServicer
from pentad_chassis.errors import ServiceError


async def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Return once `condition` holds; fail when it does not within `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - it may hang on anything
            await asyncio.sleep(0.002)


def direct(servicer: object) -> Any:
    """Return a stub that calls a servicer without a network."""
    return _Direct(servicer)


class _Direct:
    def __init__(self, servicer: object) -> None:
        self._servicer = servicer

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, **_: float) -> Any:
            return await getattr(self._servicer, method)(request, None)

        return call


def fault(kind: type[ServiceError], reason: str) -> ServiceError:
    """Return an error as a peer sends it."""
    error = kind(reason.lower().replace("_", " "))
    error.reason = reason
    return error


Turn = Callable[[executor_pb.ExecuteTurnRequest], AsyncIterator[executor_pb.ExecuteTurnResponse]]


class FakeExecutor(ExecutorServiceServicer):
    """Plays a script: one entry a call, the last one again and again."""

    def __init__(self, *script: Turn) -> None:
        self.script = list(script)
        self.requests: list[executor_pb.ExecuteTurnRequest] = []
        self.left = 0
        """Turns whose caller went away."""

    async def ExecuteTurn(
        self, request: executor_pb.ExecuteTurnRequest, context: object
    ) -> AsyncIterator[executor_pb.ExecuteTurnResponse]:
        self.requests.append(request)
        turn = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        with self._counting():
            async for response in turn(request):
                yield response

    @contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self.left += 1
            raise


Behaviour = Callable[[tools_pb.InvokeToolRequest], Awaitable[tools_pb.InvokeToolResponse]]


class FakeTools(ToolsServiceServicer):
    """Tools as coroutines, with a ledger: a call that ended is replayed."""

    def __init__(self, **behaviours: Behaviour) -> None:
        self.behaviours = behaviours
        self.invocations: list[tools_pb.InvokeToolRequest] = []
        self.ledger: dict[tuple[str, str], tools_pb.InvokeToolResponse] = {}
        self.listings = 0
        self.left = 0
        self.effect: Effect.ValueType = EFFECT_ONCE

    async def ListTools(
        self, request: tools_pb.ListToolsRequest, context: object
    ) -> tools_pb.ListToolsResponse:
        self.listings += 1
        tools = [Tool(name=name, effect=self.effect) for name in sorted(self.behaviours)]
        return tools_pb.ListToolsResponse(tools=tools)

    async def InvokeTool(
        self, request: tools_pb.InvokeToolRequest, context: object
    ) -> tools_pb.InvokeToolResponse:
        self.invocations.append(request)
        key = (request.run_id, request.call_id)
        if ended := self.ledger.get(key):
            ended.replayed = True
            return ended
        if request.tool not in self.behaviours:
            error = ToolError(reason="TOOL_NOT_FOUND", message="no such tool")
            return tools_pb.InvokeToolResponse(error=error)
        try:
            outcome = self.ledger[key] = await self.behaviours[request.tool](request)
        except asyncio.CancelledError:
            self.left += 1
            raise
        return outcome
