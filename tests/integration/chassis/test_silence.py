"""What a caller learns of a peer that has nothing to say: from the peer, if there is one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from harness.faults import BLACK_HOLE, CUT_RESPONSES, Fault, FaultProxy, Way, open_proxy
from harness.linked import until_linked

from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad.state.v1 import run_service_pb2 as runs
from pentad.state.v1 import run_service_pb2_grpc as runs_grpc
from pentad_chassis import policy
from pentad_chassis.calls import unrepeated
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.config import Settings
from pentad_chassis.errors import DeadlineExceeded, ServiceError, Unavailable
from pentad_chassis.server import Context, serving
from pentad_chassis.telemetry import Telemetry, silent_telemetry

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub

DEADLINE_S = 1.2
"""Above the second below which a deadline that passes says nothing of the peer."""

OPENS_A_BREAKER = 5
REQUEST = entries.GetEntryRequest(scope="s", key="k")

Answer = Callable[[entries.GetEntryRequest], Awaitable[entries.GetEntryResponse]]


class Entries(entries_grpc.EntryServiceServicer):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        return await self._answer(request)


class Runs(runs_grpc.RunServiceServicer):
    async def TailRun(
        self, request: runs.TailRunRequest, context: Context
    ) -> AsyncIterator[runs.TailRunResponse]:
        yield runs.TailRunResponse()
        await asyncio.Event().wait()


async def say_nothing(_: object) -> entries.GetEntryResponse:
    await asyncio.Event().wait()
    raise AssertionError


@asynccontextmanager
async def server(folder: Path, name: str, answer: Answer) -> AsyncIterator[str]:
    address = f"unix:{folder}/{name}"
    adds = [
        partial(entries_grpc.add_EntryServiceServicer_to_server, Entries(answer)),
        partial(runs_grpc.add_RunServiceServicer_to_server, Runs()),
    ]
    settings = Settings(address=address, drain_grace_s=0.0)
    async with serving(settings, silent_telemetry(name), adds):
        yield address


class Client:
    """A caller, and what its breaker thinks of the peer."""

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry) -> None:
        self.channel = channel
        self.entries: EntryServiceAsyncStub = entries_grpc.EntryServiceStub(channel)
        self._registry = telemetry.metrics.registry

    async def ask(self) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            await self.entries.GetEntry(REQUEST, timeout=DEADLINE_S)
        return caught.value

    async def ask_at_once(self) -> list[ServiceError]:
        return await asyncio.gather(*(self.ask() for _ in range(OPENS_A_BREAKER)))

    @property
    def breaker_is_open(self) -> bool:
        return self._registry.get_sample_value("pentad_breaker_state", {"peer": "peer"}) == 2


@asynccontextmanager
async def client(address: str, *, link: bool) -> AsyncIterator[Client]:
    telemetry = silent_telemetry("client")
    async with open_channel("peer", address, Settings(link=link), telemetry) as channel:
        channel.get_state(try_to_connect=True)
        async with asyncio.timeout(10.0):
            while channel.get_state() is not grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(channel.get_state())
        if link:
            await until_linked(channel, telemetry, "peer")
        yield Client(channel, telemetry)


@pytest.fixture
def time_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have servers keep a quarter of a second for what they have to say: a busy machine's turn."""
    monkeypatch.setattr(policy, "TRIM_S", 0.5)
    monkeypatch.setattr(policy, "_TRIM_PART", 0.5)


@pytest.mark.usefixtures("time_to_tell")
async def test_a_server_that_runs_out_of_time_says_so_before_its_caller_gives_up(
    tmp_path: Path,
    link: bool,
) -> None:
    async with server(tmp_path, "s", say_nothing) as at, client(at, link=link) as caller:
        errors = await caller.ask_at_once()

        assert all(isinstance(error, DeadlineExceeded) for error in errors)
        assert not any(error.unsaid for error in errors)
        assert not caller.breaker_is_open


@pytest.mark.usefixtures("time_to_tell")
async def test_a_stream_that_runs_out_of_time_ends_likewise(tmp_path: Path, link: bool) -> None:
    async with server(tmp_path, "s", say_nothing) as at, client(at, link=link) as caller:
        call = runs_grpc.RunServiceStub(caller.channel).TailRun(
            runs.TailRunRequest(), timeout=DEADLINE_S
        )
        with pytest.raises(DeadlineExceeded) as caught:
            async with reading(call) as responses:
                [_ async for _ in responses]

    assert not caught.value.unsaid


async def test_a_replica_that_falls_silent_is_left_out_and_comes_back(
    tmp_path: Path, link: bool
) -> None:
    """Its deadlines alone would let every second call find it again."""

    async def answer(_: object) -> entries.GetEntryResponse:
        return entries.GetEntryResponse()

    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(server(tmp_path, n, answer)) for n in "ab"]
        ways = [await stack.enter_async_context(open_proxy(at, "127.0.0.1:0")) for at in replicas]
        both = "ipv4:" + ",".join(way.address for way in ways)
        settings = Settings(silence_s=1.0, link=link)
        channel = await stack.enter_async_context(
            open_channel("peer", both, settings, silent_telemetry("client"))
        )
        stub = entries_grpc.EntryServiceStub(channel)

        async def calls_go_to(reached: set[FaultProxy]) -> bool:
            """Have a few calls; whether they succeed, and go just there."""
            before = {way: way.passed[Way.REQUESTS] for way in ways}
            try:
                for _ in range(10):
                    await stub.GetEntry(REQUEST, timeout=0.5)
            except ServiceError:
                return False
            # Half a dozen pings are shorter than one of these calls.
            return {way for way in ways if way.passed[Way.REQUESTS] - before[way] > 100} == reached

        async with asyncio.timeout(30.0):
            while not await calls_go_to({*ways}):
                pass
            await ways[0].begin(BLACK_HOLE)
            while not await calls_go_to({ways[1]}):
                pass
            await ways[0].heal()
            while not await calls_go_to({*ways}):
                pass


async def test_silence_itself_opens_the_breaker(tmp_path: Path, link: bool) -> None:
    async with (
        server(tmp_path, "s", say_nothing) as at,
        open_proxy(at) as proxy,
        client(proxy.address, link=link) as caller,
    ):
        await proxy.begin(CUT_RESPONSES)
        errors = await caller.ask_at_once()

        assert all(error.unsaid for error in errors)
        assert caller.breaker_is_open


async def test_of_a_chain_only_the_caller_of_the_silent_one_opens_its_breaker(
    tmp_path: Path,
    link: bool,
) -> None:
    async with AsyncExitStack() as stack:
        last = await stack.enter_async_context(server(tmp_path, "last", say_nothing))
        proxy = await stack.enter_async_context(open_proxy(last))
        behind = await stack.enter_async_context(client(proxy.address, link=link))

        async def pass_on(request: entries.GetEntryRequest) -> entries.GetEntryResponse:
            return await behind.entries.GetEntry(request)

        middle = await stack.enter_async_context(server(tmp_path, "middle", pass_on))
        before = await stack.enter_async_context(client(middle, link=link))
        await proxy.begin(CUT_RESPONSES)

        errors = await before.ask_at_once()

        assert all(isinstance(error, DeadlineExceeded) for error in errors)
        assert behind.breaker_is_open
        assert not before.breaker_is_open


async def test_retries_of_calls_that_keep_failing_are_few_in_all(
    tmp_path: Path, link: bool
) -> None:
    asked = 0

    async def be_away(_: object) -> entries.GetEntryResponse:
        nonlocal asked
        asked += 1
        raise Unavailable("not now")

    async with server(tmp_path, "s", be_away) as at, client(at, link=link) as caller:
        for _ in range(30):
            await caller.ask()

        assert 30 < asked <= 30 + 5, "a budget's worth of retries, and no more"
        assert not caller.breaker_is_open, "whoever answers is there"


async def test_a_peer_that_is_far_away_is_reached_at_the_first_attempt(
    tmp_path: Path, link: bool
) -> None:
    async def answer(_: object) -> entries.GetEntryResponse:
        return entries.GetEntryResponse()

    async with server(tmp_path, "s", answer) as at, open_proxy(at) as proxy:
        await proxy.begin(Fault(delay_s=0.15))
        async with open_channel(
            "peer", proxy.address, Settings(link=link), silent_telemetry("client")
        ) as channel:
            with unrepeated():
                await entries_grpc.EntryServiceStub(channel).GetEntry(REQUEST)
