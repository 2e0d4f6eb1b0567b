"""A server that is asked to begin more than it can do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad_chassis.admission import Overloaded
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.errors import ResourceExhausted
from pentad_chassis.server import Context, serving
from pentad_chassis.telemetry import Telemetry, silent_telemetry

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub

NEW_WORK = frozenset({"/pentad.state.v1.EntryService/PutEntry"})
QUEUE_S = 0.02
RETRY_S = 0.2

PUT, GET = entries.PutEntryRequest(), entries.GetEntryRequest()


class Entries(entries_grpc.EntryServiceServicer):
    """Begins what it is told to when it is let to; reading is at once."""

    def __init__(self) -> None:
        self.begun = 0
        self.has_room = asyncio.Event()
        self.refuses = False

    async def PutEntry(
        self, request: entries.PutEntryRequest, context: Context
    ) -> entries.PutEntryResponse:
        self.begun += 1
        if self.refuses:
            raise Overloaded("next", "has no room", RETRY_S)
        await self.has_room.wait()
        return entries.PutEntryResponse()

    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        return entries.GetEntryResponse()


class Scene:
    def __init__(self, servicer: Entries, stub: "EntryServiceAsyncStub", says: Telemetry) -> None:
        self.servicer = servicer
        self.stub = stub
        self._registry = says.metrics.registry

    @property
    def shed(self) -> float:
        return self._registry.get_sample_value("pentad_shed_total", {"kind": "new work"}) or 0.0

    async def refusal(self) -> ResourceExhausted:
        with pytest.raises(ResourceExhausted) as caught:
            await self.stub.PutEntry(PUT, timeout=10.0)
        return caught.value


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with _scene(f"unix:{tmp_path}/s") as opened:
        yield opened


@asynccontextmanager
async def _scene(address: str) -> AsyncIterator[Scene]:
    servicer, says = Entries(), silent_telemetry("state")
    add = partial(entries_grpc.add_EntryServiceServicer_to_server, servicer)
    settings = Settings(address=address, max_beginning=1, max_queue_s=QUEUE_S)
    async with (
        serving(settings, says, [add], new_work=NEW_WORK),
        open_channel("state", address, Settings(), silent_telemetry("test")) as channel,
    ):
        yield Scene(servicer, entries_grpc.EntryServiceStub(channel), says)


async def test_new_work_is_refused_while_the_line_does_not_move_and_nothing_else(
    scene: Scene,
) -> None:
    asked = [asyncio.ensure_future(scene.stub.PutEntry(PUT, timeout=20.0)) for _ in range(2)]
    async with asyncio.timeout(10.0):
        while not any(call.done() for call in asked):
            # Whoever comes before the first in line has waited for too long stands in line too.
            asked.append(asyncio.ensure_future(scene.stub.PutEntry(PUT, timeout=20.0)))
            await asyncio.wait(asked, timeout=QUEUE_S, return_when=asyncio.FIRST_COMPLETED)

    assert scene.servicer.begun == 1
    await scene.stub.GetEntry(GET)

    scene.servicer.has_room.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, ResourceExhausted)]
    assert refused[0].reason == "OVERLOADED"
    assert refused[0].retry_after_s
    assert scene.shed == len(refused)
    await scene.stub.PutEntry(PUT)
    assert scene.servicer.begun == len(asked) - len(refused) + 1


async def test_after_a_refusal_from_behind_new_work_is_refused_here_for_a_while(
    scene: Scene,
) -> None:
    scene.servicer.refuses = True
    scene.servicer.has_room.set()
    first = await scene.refusal()
    assert (first.metadata["service"], scene.shed) == ("next", 0)

    second = await scene.refusal()
    assert (second.metadata["service"], scene.shed) == ("state", 1)
    assert scene.servicer.begun == 1
    await scene.stub.GetEntry(GET)

    scene.servicer.refuses = False
    async with asyncio.timeout(10.0):
        while scene.servicer.begun == 1:
            try:
                await scene.stub.PutEntry(PUT)
            except ResourceExhausted as again:
                await asyncio.sleep(again.retry_after_s or 0.0)
