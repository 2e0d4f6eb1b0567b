"""A peer of several replicas, and a caller that counts what becomes of its calls."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from harness.linked import until_linked
from harness.suite import free_port

from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad.state.v1 import run_service_pb2 as runs
from pentad.state.v1 import run_service_pb2_grpc as runs_grpc
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.config import Settings
from pentad_chassis.errors import NotFound
from pentad_chassis.health import HEALTHY, Condition, unhealthy
from pentad_chassis.server import Context, serving
from pentad_chassis.telemetry import Telemetry, silent_telemetry

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

WITHIN_S = 40.0


class Entries(entries_grpc.EntryServiceServicer):
    """Echoes, or answers with as many bytes as the key says; holds on while it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun = asyncio.Event()
        self.finish = asyncio.Event()
        self.finish.set()

    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        await self._take_part()
        if request.scope == "nowhere":
            raise NotFound("no entry", key=request.key)
        value = bytes(int(request.key)) if request.key.isdigit() else b""
        return entries.GetEntryResponse(entry=entries.Entry(key=request.key, value=value))

    async def PutEntry(
        self, request: entries.PutEntryRequest, context: Context
    ) -> entries.PutEntryResponse:
        await self._take_part()
        size = str(len(request.value))
        return entries.PutEntryResponse(entry=entries.Entry(key=size))

    async def _take_part(self) -> None:
        self.calls += 1
        self.begun.set()
        await self.finish.wait()


class Runs(runs_grpc.RunServiceServicer):
    """Streams as many messages as the run's id says, of as many bytes as the cursor; `-` on end."""

    def __init__(self) -> None:
        self.open = 0
        self.pace: Callable[[], Any] = partial(asyncio.sleep, 0)

    async def TailRun(
        self, request: runs.TailRunRequest, context: Context
    ) -> AsyncIterator[runs.TailRunResponse]:
        self.open += 1
        try:
            for n in _numbers(request.run_id):
                response = runs.TailRunResponse()
                event = response.events.add(seq=n)
                event.text_delta.text = "x" * int(request.after or 0)
                yield response
                await self.pace()
            if request.tenant == "nobody":
                raise NotFound("no run")
        finally:
            self.open -= 1


def _numbers(run_id: str) -> Any:
    return itertools.count() if run_id == "-" else range(int(run_id))


class Replica:
    """One process of the peer, as far as its callers can tell."""

    def __init__(self, address: str, settings: dict[str, Any]) -> None:
        self.address = address
        self.entries, self.runs = Entries(), Runs()
        self.condition: Condition = HEALTHY
        self._settings = settings
        self._running = AsyncExitStack()

    async def start(self) -> None:
        telemetry = silent_telemetry("peer")
        telemetry.health.watch("store", lambda: self.condition)
        adds = [
            partial(entries_grpc.add_EntryServiceServicer_to_server, self.entries),
            partial(runs_grpc.add_RunServiceServicer_to_server, self.runs),
        ]
        settings = Settings(address=self.address, **self._settings)
        await self._running.enter_async_context(serving(settings, telemetry, adds))

    async def stop(self) -> None:
        """Stop as on SIGTERM."""
        await self._running.aclose()

    def fall_ill(self) -> None:
        self.condition = unhealthy("gone")

    def recover(self) -> None:
        self.condition = HEALTHY


@asynccontextmanager
async def replicas(
    count: int, folder: Path | None = None, **settings: Any
) -> AsyncIterator[list[Replica]]:
    """Have addresses for so many replicas; those that were started are stopped in the end.

    They are unix sockets where a folder is given for them.
    """
    made = [
        Replica(f"unix:{folder}/{n}" if folder else f"127.0.0.1:{free_port()}", settings)
        for n in range(count)
    ]
    try:
        yield made
    finally:
        for replica in made:
            await replica.stop()


def target(made: Sequence[Replica]) -> str:
    """Return where all of them are, as one gRPC target."""
    addresses = [replica.address for replica in made]
    if addresses[0].startswith("unix:"):
        return "unix:" + ",".join(address.removeprefix("unix:") for address in addresses)
    return "ipv4:" + ",".join(addresses)


class Caller:
    """A service that calls the peer."""

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry) -> None:
        self.channel = channel
        self.telemetry = telemetry
        self.entries: EntryServiceAsyncStub = entries_grpc.EntryServiceStub(channel)
        self.runs: RunServiceAsyncStub = runs_grpc.RunServiceStub(channel)

    async def get(self, key: str = "k", **options: Any) -> bytes:
        """Make a call that may be repeated."""
        request = entries.GetEntryRequest(scope="s", key=key)
        return (await self.entries.GetEntry(request, **options)).entry.value

    async def put(self, size: int = 0, **options: Any) -> int:
        """Make a call that may not."""
        request = entries.PutEntryRequest(scope="s", key="k", value=bytes(size))
        return int((await self.entries.PutEntry(request, **options)).entry.key)

    async def tail(self, count: int, size: int = 0) -> list[int]:
        """Read a stream to its end."""
        request = runs.TailRunRequest(run_id=str(count), after=str(size))
        async with reading(self.runs.TailRun(request)) as responses:
            return [response.events[0].seq async for response in responses]

    async def until_linked(self, links: int = 1) -> None:
        await until_linked(self.channel, self.telemetry, "peer", replicas=links)


@asynccontextmanager
async def calling(address: str, *, link: bool = True) -> AsyncIterator[Caller]:
    """Call the peer while the block runs."""
    telemetry = silent_telemetry("caller")
    async with open_channel("peer", address, Settings(link=link), telemetry) as channel:
        yield Caller(channel, telemetry)


@asynccontextmanager
async def load(caller: Caller, workers: int = 8) -> AsyncIterator[Counter[str]]:
    """Call without a pause while the block runs; yield how the calls have ended so far.

    None of them may be repeated, so that no retry hides a call that was lost.
    """
    ended: Counter[str] = Counter()

    async def work() -> None:
        for n in itertools.count():
            try:
                await caller.put(n % 3 * 20_000)
                ended["well"] += 1
            except Exception as error:  # noqa: BLE001 - the test tells what it wants
                ended[repr(error)] += 1
            # Many of them in one process with the peer: let others have their turn as well.
            await asyncio.sleep(0.001)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    try:
        yield ended
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
