"""A hop by one stream that stays open: all frames that wait leave in one message.

While one message is on its way, frames pile up and leave with the next. There are no credits, no
deadlines, no cancel and no second connection, so that nothing that carries more can cost less.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from enum import IntEnum
from itertools import count
from typing import Any

import grpc

from bench.floor.hop import SERVICE, WAIT_S, Hop

_LINK = "Link"
_HEAD = struct.Struct(">QBI")

Frame = tuple[int, int, bytes]


class Kind(IntEnum):
    """What a frame is; requests first."""

    ASK = 0
    LISTEN = 1
    ANSWER = 2
    ITEM = 3
    END = 4
    FAILURE = 5


def to_message(frames: list[Frame]) -> bytes:
    """Return frames as one message."""
    parts = []
    for number, kind, payload in frames:
        parts.append(_HEAD.pack(number, kind, len(payload)))
        parts.append(payload)
    return b"".join(parts)


def from_message(message: bytes) -> Iterator[Frame]:
    """Yield the frames of a message."""
    place = 0
    while place < len(message):
        number, kind, length = _HEAD.unpack_from(message, place)
        place += _HEAD.size
        yield number, kind, message[place : place + length]
        place += length


class Outbox:
    """Frames that wait for the message before them to leave."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._wake = asyncio.Event()

    def put(self, number: int, kind: Kind, payload: bytes) -> None:
        """Have a frame leave with the next message."""
        self._frames.append((number, kind, payload))
        self._wake.set()

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield messages for as long as somebody takes them."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            frames, self._frames = self._frames, []
            yield to_message(frames)


class LinkClient:
    """The end of a link that asks; what fails at the other end is a ConnectionError at this."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._numbers = count()
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._streams: dict[int, asyncio.Queue[bytes | ConnectionError | None]] = {}

    async def ask(self, request: bytes) -> bytes:
        """Return the answer to a request."""
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._outbox.put(number, Kind.ASK, request)
        try:
            return await answer
        finally:
            del self._answers[number]

    async def listen(self, request: bytes) -> AsyncIterator[bytes]:
        """Yield what comes of a request until its end."""
        number = next(self._numbers)
        items = self._streams[number] = asyncio.Queue()
        self._outbox.put(number, Kind.LISTEN, request)
        try:
            while (item := await items.get()) is not None:
                if isinstance(item, ConnectionError):
                    raise item
                yield item
        finally:
            del self._streams[number]

    def receive(self, message: bytes) -> None:
        """Hand each frame to who waits for it, if anybody still does."""
        for number, kind, payload in from_message(message):
            if (answer := self._answers.get(number)) is not None and not answer.done():
                if kind == Kind.ANSWER:
                    answer.set_result(payload)
                else:
                    answer.set_exception(ConnectionError(payload.decode()))
            elif (items := self._streams.get(number)) is not None:
                items.put_nowait(_item(kind, payload))


def _item(kind: int, payload: bytes) -> bytes | ConnectionError | None:
    match kind:
        case Kind.ITEM:
            return payload
        case Kind.END:
            return None
        case _:
            return ConnectionError(payload.decode())


@asynccontextmanager
async def open_link(target: str) -> AsyncIterator[Hop]:
    """Yield the hop to a node."""
    async with grpc.aio.insecure_channel(target) as channel:
        outbox = Outbox()
        client = LinkClient(outbox)
        stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        stream = channel.stream_stream(f"/{SERVICE}/{_LINK}")
        # The first message opens the stream, so that whoever serves late is waited for.
        call = stream(outbox.messages(), wait_for_ready=True)

        async def receive() -> None:
            async for message in call:
                client.receive(message)

        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(receive())
            yield Hop(client.ask, client.listen)
            receiving.cancel()


def link_handlers(node: Hop) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
    """Return what a server needs to serve a node."""

    # Not a generator: one that is cancelled while gRPC writes is closed some time later.
    async def link(messages: AsyncIterator[bytes], context: Any) -> None:
        outbox = Outbox()
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(node, messages, outbox))
            async for message in outbox.messages():
                await context.write(message)

    return {_LINK: grpc.stream_stream_rpc_method_handler(link)}


async def serve(node: Hop, messages: AsyncIterator[bytes], outbox: Outbox) -> None:
    """Have a node perform what messages ask for, and what comes of it leave by `outbox`."""
    async with asyncio.TaskGroup() as group:
        async for message in messages:
            for number, kind, payload in from_message(message):
                perform = _ask if kind == Kind.ASK else _listen
                group.create_task(_guarded(perform(node, number, payload, outbox), number, outbox))


async def _ask(node: Hop, number: int, request: bytes, outbox: Outbox) -> None:
    outbox.put(number, Kind.ANSWER, await node.ask(request))


async def _listen(node: Hop, number: int, request: bytes, outbox: Outbox) -> None:
    async for item in node.listen(request):
        outbox.put(number, Kind.ITEM, item)
    outbox.put(number, Kind.END, b"")


async def _guarded(performing: Coroutine[Any, Any, None], number: int, outbox: Outbox) -> None:
    try:
        async with asyncio.timeout(WAIT_S):
            await performing
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is to know
        outbox.put(number, Kind.FAILURE, repr(error).encode())
