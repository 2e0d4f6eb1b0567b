"""Streams that are held open, over a few connections."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from bench.inside import Inside
from pentad.gateway.v1.run_service_pb2 import TailRunRequest, TailRunResponse
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub

    Stream = grpc.aio.UnaryStreamCall[TailRunRequest, TailRunResponse]

_CONNECTIONS = 8
_OPENED_AT_ONCE = 16
_OPENING_S = 180.0
"""For all of them together; longer means that the suite cannot hold so many."""
_OPEN_S = 3600.0
_AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)
_PAUSE_S = 0.5
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class NotHeld(Exception):
    """A suite does not hold so many streams; the message says how many it did."""


class Streams:
    """Clients that follow runs in which nothing happens."""

    def __init__(self, stubs: Sequence["RunServiceAsyncStub"], suite: Inside) -> None:
        self._stubs = stubs
        self._metadata = suite.metadata
        self._open: list[Stream] = []

    async def follow(self, run_ids: Sequence[str]) -> None:
        """Follow each of these runs from now on; return once the beginning of each was seen."""
        left = iter(run_ids)

        async def some() -> None:
            for run_id in left:
                await self._begin(run_id)

        try:
            async with asyncio.timeout(_OPENING_S), asyncio.TaskGroup() as tasks:
                for _ in range(_OPENED_AT_ONCE):
                    tasks.create_task(some())
        except TimeoutError:
            raise NotHeld(f"{len(self._open):,} were open after {_OPENING_S:g} s") from None

    async def _begin(self, run_id: str) -> None:
        """Follow a run, as a client does who is told to come again."""
        stub = self._stubs[len(self._open) % len(self._stubs)]
        request = TailRunRequest(run_id=run_id)
        while True:
            stream = stub.TailRun(request, metadata=self._metadata, timeout=_OPEN_S)
            try:
                await stream.read()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AGAIN:
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                self._open.append(stream)
                return

    def check(self) -> None:
        """Raise NotHeld unless all are open still."""
        if ended := sum(stream.done() for stream in self._open):
            raise NotHeld(f"{ended:,} of {len(self._open):,} have ended by themselves")

    def leave(self) -> None:
        """Let all of them go."""
        for stream in self._open:
            stream.cancel()


@asynccontextmanager
async def open_streams(suite: Inside) -> AsyncIterator[Streams]:
    """Have connections for streams while the block runs."""
    address = suite.address("gateway")
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, _OWN_CONNECTION))
            for _ in range(_CONNECTIONS)
        ]
        streams = Streams([RunServiceStub(channel) for channel in channels], suite)
        try:
            yield streams
        finally:
            streams.leave()
