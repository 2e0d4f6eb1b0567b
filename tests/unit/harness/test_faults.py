"""The fault proxy does what it says: on it rests what the system tests say of every hop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.faults import (
    BLACK_HOLE,
    CUT_REQUESTS,
    CUT_RESPONSES,
    DROP,
    FREEZE,
    LOSE_ONE_REQUEST,
    REFUSE,
    Fault,
    FaultProxy,
    Way,
    open_proxy,
)

SOON_S = 5.0
SILENCE_S = 0.05


class Echo:
    """Answers every line with itself, and counts the lines it has seen."""

    def __init__(self) -> None:
        self.lines = 0

    @asynccontextmanager
    async def serving(self, path: Path | None = None) -> AsyncIterator[str]:
        if path is not None:
            server: asyncio.Server = await asyncio.start_unix_server(self._answer, path)
            address = f"unix:{path}"
        else:
            server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
            address = "{}:{}".format(*server.sockets[0].getsockname())
        async with server:
            yield address

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.lines += 1
                writer.write(line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


class Caller:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, line: str = "hello") -> str:
        """Return the answer; empty when the connection ended in order."""
        self._writer.write(f"{line}\n".encode())
        async with asyncio.timeout(SOON_S):
            return (await self._reader.readline()).decode().strip()

    async def listen(self) -> str:
        async with asyncio.timeout(SOON_S):
            return (await self._reader.readline()).decode().strip()

    async def is_silent(self) -> bool:
        """Whether nothing comes for a while, the end of the connection neither."""
        try:
            async with asyncio.timeout(SILENCE_S):
                await self._reader.readline()
        except TimeoutError:
            return True
        return False

    def say(self, line: str) -> None:
        self._writer.write(f"{line}\n".encode())

    def leave(self) -> None:
        self._writer.close()


@asynccontextmanager
async def calling(proxy: FaultProxy) -> AsyncIterator[Caller]:
    if proxy.address.startswith("unix:"):
        path = proxy.address.removeprefix("unix:")
        reader, writer = await asyncio.open_unix_connection(path)
    else:
        host, _, port = proxy.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture(params=["tcp", "unix"])
async def proxy(
    request: pytest.FixtureRequest, echo: Echo, tmp_path: Path
) -> AsyncIterator[FaultProxy]:
    unix = request.param == "unix"
    listen = f"unix:{tmp_path}/proxy" if unix else "127.0.0.1:0"
    place = tmp_path / "echo" if unix else None
    async with echo.serving(place) as target, open_proxy(target, listen) as opened:
        yield opened
    left = [task for task in asyncio.all_tasks() if "_Connection" in repr(task)]
    assert not left, "the proxy leaves no task behind"


async def test_without_a_fault_everything_passes_and_is_counted(proxy: FaultProxy) -> None:
    async with calling(proxy) as one, calling(proxy) as two:
        assert await one.ask("a") == "a"
        assert await two.ask("bc") == "bc"
        assert proxy.open_connections == 2

    assert proxy.connections == 2
    assert proxy.passed == {Way.REQUESTS: 5, Way.RESPONSES: 5}


async def test_refused_callers_find_nobody_and_a_healed_proxy_where_it_was(
    proxy: FaultProxy,
) -> None:
    address = proxy.address
    async with calling(proxy) as caller:
        await caller.ask()
        await proxy.begin(REFUSE)
        assert await caller.listen() == "", "its connection is closed"
        with pytest.raises(OSError, match=r"[Cc]onne"):
            async with calling(proxy):
                pass
        await proxy.heal()

    assert proxy.address == address
    async with calling(proxy) as again:
        assert await again.ask() == "hello"


async def test_dropped_connections_end_and_new_ones_pass(proxy: FaultProxy) -> None:
    async with calling(proxy) as caller:
        await caller.ask()
        await proxy.begin(DROP)
        assert await caller.listen() == ""
        async with calling(proxy) as again:
            assert await again.ask() == "hello"


async def test_delayed_bytes_come_late_each_way_and_in_order(proxy: FaultProxy) -> None:
    async with calling(proxy) as caller:
        await proxy.begin(Fault(delay_s=0.05))
        began = asyncio.get_running_loop().time()
        caller.say("one")
        assert await caller.ask("two") == "one"
        assert await caller.listen() == "two"

    assert 0.1 <= asyncio.get_running_loop().time() - began < SOON_S


async def test_cut_requests_do_not_arrive_until_it_heals(proxy: FaultProxy, echo: Echo) -> None:
    async with calling(proxy) as caller:
        await caller.ask()
        await proxy.begin(CUT_REQUESTS)
        caller.say("lost?")
        assert await caller.is_silent()
        assert echo.lines == 1

        await proxy.heal()
        assert await caller.listen() == "lost?"


async def test_cut_responses_leave_the_callee_with_the_request(
    proxy: FaultProxy, echo: Echo
) -> None:
    async with calling(proxy) as caller:
        await caller.ask()
        await proxy.begin(CUT_RESPONSES)
        caller.say("done?")
        assert await caller.is_silent()
        assert echo.lines == 2

        await proxy.heal()
        assert await caller.listen() == "done?"


async def test_frozen_connections_thaw(proxy: FaultProxy) -> None:
    async with calling(proxy) as caller:
        await proxy.begin(FREEZE)
        caller.say("brr")
        assert await caller.is_silent()
        await proxy.heal()
        assert await caller.listen() == "brr"


async def test_a_black_hole_accepts_swallows_and_ends_what_it_swallowed(
    proxy: FaultProxy, echo: Echo
) -> None:
    async with calling(proxy) as old:
        await old.ask()
        await proxy.begin(BLACK_HOLE)
        async with calling(proxy) as new:
            for caller in (old, new):
                caller.say("anybody?")
                assert await caller.is_silent()
            await proxy.heal()
            for caller in (old, new):
                assert await ended(caller)

    assert echo.lines == 1


async def test_a_reset_comes_in_the_middle_of_a_response(proxy: FaultProxy) -> None:
    async with calling(proxy) as caller:
        await caller.ask()
        await proxy.begin(Fault(reset=Way.RESPONSES, reset_after=3))
        caller.say("hello")

        assert await ended(caller), "the line has no end"

    assert proxy.passed[Way.RESPONSES] == len("hello\n") + 3


async def test_on_tcp_a_reset_is_one(echo: Echo) -> None:
    async with echo.serving() as target, open_proxy(target) as proxy, calling(proxy) as caller:
        await proxy.begin(Fault(reset=Way.RESPONSES))

        with pytest.raises(ConnectionResetError):
            await caller.ask()


async def test_a_request_lost_once_never_reached_anybody(proxy: FaultProxy, echo: Echo) -> None:
    async with calling(proxy) as caller:
        await caller.ask()
        await proxy.begin(LOSE_ONE_REQUEST)
        caller.say("lost")
        assert await ended(caller)

    async with calling(proxy) as again:
        assert await again.ask("found") == "found"
    assert echo.lines == 2


async def test_a_caller_that_leaves_is_forgotten(proxy: FaultProxy) -> None:
    async with calling(proxy) as caller:
        await caller.ask()
        caller.leave()
        async with asyncio.timeout(SOON_S):
            while proxy.open_connections:  # noqa: ASYNC110 - a closing socket has no event
                await asyncio.sleep(0.001)


async def test_a_callee_that_is_away_ends_its_callers(tmp_path: Path) -> None:
    async with open_proxy(f"unix:{tmp_path}/nobody") as proxy, calling(proxy) as caller:
        assert await ended(caller)


async def ended(caller: Caller) -> bool:
    """Whether the connection ends, in order or not, without a whole line."""
    try:
        line = await caller.listen()
    except ConnectionError:
        return True
    return line in {"", "hel"}
