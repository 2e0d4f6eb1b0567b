"""A real server and a real channel to it, with a servicer that does as it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from harness.linked import until_linked

from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad.state.v1 import run_service_pb2 as runs
from pentad.state.v1 import run_service_pb2_grpc as runs_grpc
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.errors import Unavailable
from pentad_chassis.server import Context, serving
from pentad_chassis.telemetry import Telemetry, silent_telemetry

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

Answer = Callable[[entries.GetEntryRequest], Awaitable[entries.GetEntryResponse]]


class Entries(entries_grpc.EntryServiceServicer):
    """Answers as `answer` says, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.answer: Answer = self.echo

    async def echo(self, request: entries.GetEntryRequest) -> entries.GetEntryResponse:
        return entries.GetEntryResponse(entry=entries.Entry(key=request.key))

    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        self.calls += 1
        return await self.answer(request)

    async def PutEntry(
        self, request: entries.PutEntryRequest, context: Context
    ) -> entries.PutEntryResponse:
        self.calls += 1
        raise Unavailable("not now")


class Runs(runs_grpc.RunServiceServicer):
    """Streams ten events, then waits until somebody leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def TailRun(
        self, request: runs.TailRunRequest, context: Context
    ) -> AsyncIterator[runs.TailRunResponse]:
        try:
            for seq in range(10):
                response = runs.TailRunResponse()
                response.events.add(seq=seq)
                yield response
            await asyncio.Event().wait()
        finally:
            self.left.set()


class OneHop:
    """A server and stubs, in any order: calls go over a link as soon as there are both."""

    def __init__(self, path: Path, *, link: bool) -> None:
        self.address = f"unix:{path}/s"
        self.entries = Entries()
        self.runs = Runs()
        self._link = link
        self._serves = False
        self._channels: list[tuple[grpc.aio.Channel, Telemetry]] = []

    @asynccontextmanager
    async def server(
        self, telemetry: Telemetry | None = None, max_in_flight: int = 100
    ) -> AsyncIterator[None]:
        async with serving(
            Settings(address=self.address, max_in_flight=max_in_flight),
            telemetry or silent_telemetry("state"),
            [
                partial(entries_grpc.add_EntryServiceServicer_to_server, self.entries),
                partial(runs_grpc.add_RunServiceServicer_to_server, self.runs),
            ],
            parked=frozenset({"/pentad.state.v1.RunService/TailRun"}),
        ):
            self._serves = True
            await self._linked()
            yield

    @asynccontextmanager
    async def stub(
        self, telemetry: Telemetry | None = None
    ) -> AsyncIterator["EntryServiceAsyncStub"]:
        async with self._channel(telemetry) as channel:
            yield entries_grpc.EntryServiceStub(channel)

    @asynccontextmanager
    async def run_stub(self) -> AsyncIterator["RunServiceAsyncStub"]:
        async with self._channel(None) as channel:
            yield runs_grpc.RunServiceStub(channel)

    @asynccontextmanager
    async def _channel(self, telemetry: Telemetry | None) -> AsyncIterator[grpc.aio.Channel]:
        telemetry = telemetry or silent_telemetry("test")
        settings = Settings(link=self._link)
        async with open_channel("state", self.address, settings, telemetry) as channel:
            self._channels.append((channel, telemetry))
            await self._linked()
            yield channel

    async def _linked(self) -> None:
        if self._link and self._serves:
            for channel, telemetry in self._channels:
                await until_linked(channel, telemetry, "state")
