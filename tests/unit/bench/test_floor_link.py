"""The floor's own link: what comes out is what went in, and the peer's failures are told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.floor.hop import Hop, from_request, to_request
from bench.floor.link import Frame, LinkClient, Outbox, from_message, serve, to_message

FRAMES = st.lists(
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 255), st.binary(max_size=300))
)


@given(FRAMES)
def test_a_message_holds_its_frames(frames: list[Frame]) -> None:
    assert list(from_message(to_message(frames))) == frames


def test_a_request_says_what_it_is() -> None:
    assert from_request(to_request(2**40, 6)) == (2**40, 6)


async def echo(request: bytes) -> bytes:
    return request


async def thrice(request: bytes) -> AsyncIterator[bytes]:
    for number in range(3):
        yield request + str(number).encode()


@asynccontextmanager
async def linked(node: Hop) -> AsyncIterator[LinkClient]:
    """A client and a server whose messages are handed from one to the other."""
    there, back = Outbox(), Outbox()
    client = LinkClient(there)

    async def hand_back() -> None:
        async for message in back.messages():
            client.receive(message)

    tasks = [
        asyncio.create_task(serve(node, there.messages(), back)),
        asyncio.create_task(hand_back()),
    ]
    try:
        yield client
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_caller_gets_its_own_answer() -> None:
    async with linked(Hop(echo, thrice)) as client, asyncio.timeout(10):
        answers = await asyncio.gather(*(client.ask(str(n).encode()) for n in range(50)))

    assert answers == [str(n).encode() for n in range(50)]


async def test_a_stream_comes_in_order_and_ends() -> None:
    async with linked(Hop(echo, thrice)) as client, asyncio.timeout(10):
        items = [item async for item in client.listen(b"a")]

    assert items == [b"a0", b"a1", b"a2"]


async def fails(_: bytes) -> bytes:
    raise ValueError("no disk")


async def fails_later(_: bytes) -> AsyncIterator[bytes]:
    yield b"one"
    raise ValueError("no disk")


async def asked(client: LinkClient) -> None:
    await client.ask(b"")


async def listened(client: LinkClient) -> None:
    async for _ in client.listen(b""):
        pass


@pytest.mark.parametrize("use", [asked, listened], ids=["ask", "listen"])
async def test_a_failure_of_the_node_reaches_its_caller(
    use: Callable[[LinkClient], Awaitable[None]],
) -> None:
    async with linked(Hop(fails, fails_later)) as client, asyncio.timeout(10):
        with pytest.raises(ConnectionError, match="no disk"):
            await use(client)
