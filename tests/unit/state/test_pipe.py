"""The pipe groups commands, and no failure of the link is ever silent, mixed up or without end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.fake_server import HANG_UP, FakeServer, echo

from pentad_chassis.telemetry import silent_telemetry
from pentad_state import pipe as module
from pentad_state.connection import Address
from pentad_state.errors import StoreUnavailable
from pentad_state.metrics import StateMetrics
from pentad_state.pipe import Pipe
from pentad_state.store import script
from pentad_state.waiting import running

PATIENT_S = 30.0
"""For a reply; a test that passes waits for far less."""


def pipe_to(address: str, reply_s: float = PATIENT_S) -> Pipe:
    telemetry = silent_telemetry("state")
    return Pipe(Address(address), reply_s, telemetry, StateMetrics(telemetry.metrics))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[FakeServer]:
    async with FakeServer(tmp_path / "s").running() as started:
        yield started


@pytest.fixture
def reply_s() -> float:
    return PATIENT_S


@pytest.fixture
async def pipe(server: FakeServer, reply_s: float) -> AsyncIterator[Pipe]:
    opened = pipe_to(f"unix://{server.path}", reply_s)
    async with running(opened.serve()):
        yield opened


async def test_commands_that_wait_leave_together(server: FakeServer, pipe: Pipe) -> None:
    replies = await asyncio.gather(*(pipe.call("ECHO", f"{i}") for i in range(500)))

    assert replies == [b"%d" % i for i in range(500)]
    assert len(server.reads) < 10
    assert server.connections == 1


async def test_a_cancelled_caller_drops_only_its_own_reply(pipe: Pipe) -> None:
    calls = [asyncio.ensure_future(pipe.call("ECHO", f"{i}")) for i in range(6)]
    calls[0].cancel()  # before it was sent
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calls[3].cancel()  # perhaps on its way

    replies = await asyncio.gather(*calls, return_exceptions=True)

    assert [r for r in replies if isinstance(r, bytes)] == [b"1", b"2", b"4", b"5"]
    assert await pipe.call("ECHO", "after") == b"after"


async def test_an_error_reply_is_its_caller_s_alone(server: FakeServer, pipe: Pipe) -> None:
    server.answer = lambda c: b"-WRONGTYPE no\r\n" if c[-1] == b"bad" else echo(c)

    good, bad, also = await asyncio.gather(
        pipe.call("ECHO", "1"), pipe.call("ECHO", "bad"), pipe.call("ECHO", "2"),
        return_exceptions=True,
    )  # fmt: skip

    assert (good, also) == (b"1", b"2")
    assert isinstance(bad, Exception)
    assert not isinstance(bad, StoreUnavailable)


@pytest.mark.parametrize(
    ("reply", "connections"),
    [(b"-OOM no room\r\n", 1), (b"-READONLY replica\r\n", 2), (b"-LOADING dataset\r\n", 2)],
)
async def test_what_is_wrong_with_the_server_is_said_as_such(
    server: FakeServer, pipe: Pipe, reply: bytes, connections: int
) -> None:
    server.answer = lambda _: reply
    with pytest.raises(StoreUnavailable):
        await pipe.call("SET", "a", "b")
    server.answer = echo

    assert await pipe.call("ECHO", "x") == b"x"
    assert server.connections == connections


@pytest.mark.parametrize("reply_s", [0.3])
async def test_a_hung_server_is_noticed_and_left(server: FakeServer, pipe: Pipe) -> None:
    server.answer = lambda _: None

    with pytest.raises(StoreUnavailable):
        await pipe.call("ECHO", "x")

    server.answer = echo
    assert await pipe.call("ECHO", "y") == b"y"
    assert server.connections == 2


async def test_a_lost_connection_fails_what_was_on_its_way_and_is_made_again(
    server: FakeServer, pipe: Pipe
) -> None:
    server.answer = lambda c: HANG_UP if c[-1] == b"3" else echo(c)
    replies = await asyncio.gather(
        *(pipe.call("ECHO", f"{i}") for i in range(6)), return_exceptions=True
    )
    assert replies[:3] == [b"0", b"1", b"2"]
    assert all(isinstance(reply, StoreUnavailable) for reply in replies[3:])

    server.answer = echo
    assert await pipe.call("ECHO", "x") == b"x"


async def test_a_store_that_is_not_there_is_said_soon_and_found_when_it_comes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    pipe = pipe_to(f"unix://{path}")
    async with running(pipe.serve()):
        for _ in range(3):
            async with asyncio.timeout(PATIENT_S / 3):
                with pytest.raises(StoreUnavailable):
                    await pipe.call("PING")
        async with FakeServer(path).running():
            assert await pipe.call("ECHO", "x") == b"x"


async def test_what_waits_is_bounded(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMMANDS_MAX", 10)

    replies = await asyncio.gather(
        *(pipe.call("ECHO", "x") for _ in range(12)), return_exceptions=True
    )

    assert replies[:10] == [b"x"] * 10
    assert all(isinstance(reply, StoreUnavailable) for reply in replies[10:])
    assert await pipe.call("ECHO", "y") == b"y"


async def test_a_stop_leaves_nobody_waiting(server: FakeServer) -> None:
    server.answer = lambda _: None
    pipe = pipe_to(f"unix://{server.path}")
    async with running(pipe.serve()):
        sent = asyncio.ensure_future(pipe.call("ECHO", "x"))
        await asyncio.sleep(0.05)
        queued = asyncio.ensure_future(pipe.call("ECHO", "y"))

    for call in (sent, queued):
        with pytest.raises(StoreUnavailable):
            await call


async def test_an_engine_that_does_not_know_a_script_is_taught(
    server: FakeServer, pipe: Pipe
) -> None:
    server.answer = lambda c: b"-NOSCRIPT none\r\n" if c[0] == b"EVALSHA" else echo(c)

    reply = await pipe.run(script("run_peek"), ["k1", "k2"], "last")

    assert reply == b"last"
    (first,), (second,) = server.reads
    assert first[1] == script("run_peek").sha.encode()
    assert second[:3] == [b"EVAL", script("run_peek").source, b"2"]
