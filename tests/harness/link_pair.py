"""A link without a network: both its ends in this process, and one message under way each way.

    async with open_pair({"/echo": answers(echo)}) as pair:
        call = pair.session.begin("/echo", b"hello", 5.0, ())

Whatever passes is serialised. Payloads are bytes: handlers here have no messages of their own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any, Generic, TypeVar, cast

import grpc

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse
from pentad_chassis.link.desk import Desk
from pentad_chassis.link.servicer import LinkServicer
from pentad_chassis.link.session import Session
from pentad_chassis.telemetry import open_telemetry

WITHIN_S = 10.0

_Message = TypeVar("_Message", ConnectRequest, ConnectResponse)

Unary = Callable[[bytes, Any], Awaitable[bytes]]
Streaming = Callable[[bytes, Any], AsyncIterator[bytes]]


class Way(Generic[_Message]):
    """Takes a message when the one before has been read, as a connection does that is full."""

    def __init__(self, kind: type[_Message]) -> None:
        self._read: Callable[[bytes], _Message] = kind.FromString
        self._messages: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(1)
        self.passed = 0
        """Messages that were read."""

    async def write(self, message: _Message) -> None:
        await self._room.acquire()
        self._messages.put_nowait(message.SerializeToString())

    async def read(self) -> _Message | None:
        found = await self._messages.get()
        if found is None or isinstance(found, Exception):
            self._messages.put_nowait(found)  # an end stays one
            if found is not None:
                raise found
            return None
        self._room.release()
        self.passed += 1
        return self._read(found)

    def end(self, error: Exception | None = None) -> None:
        """Let nothing follow."""
        self._messages.put_nowait(error)

    async def __aiter__(self) -> AsyncIterator[_Message]:
        while (message := await self.read()) is not None:
            yield message


class Stream:
    """The caller's end, as far as a session uses gRPC's; its making connects it."""

    def __init__(self, servicer: LinkServicer) -> None:
        self.up, self.down = Way(ConnectRequest), Way(ConnectResponse)
        self.serving = asyncio.create_task(servicer.Connect(aiter(self.up), cast("Any", self.down)))
        self.serving.add_done_callback(lambda _: self.down.end())

    async def read(self) -> Any:
        try:
            return await self.down.read() or grpc.aio.EOF
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def write(self, message: ConnectRequest) -> None:
        await self.up.write(message)

    async def done_writing(self) -> None:
        self.up.end()

    def cancel(self) -> bool:
        return self.serving.cancel()

    def cut(self) -> None:
        """Break the connection."""
        self.down.end(failure(grpc.StatusCode.UNAVAILABLE))
        self.cancel()


def failure(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    """Return the error that gRPC gives its caller."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())


class Pair:
    """Both ends of a link."""

    def __init__(self, handlers: Mapping[str, Any]) -> None:
        self.log = StringIO()
        self.servicer = LinkServicer(handlers, open_telemetry("callee", "error", self.log))
        self.stream = Stream(self.servicer)
        self.up, self.down = self.stream.up, self.stream.down
        self.session = Session(cast("Any", self.stream), "callee", "a")
        self.left = asyncio.Event()
        """Set when no more calls are to be begun."""

    @property
    def desk(self) -> Desk:
        """The server's end."""
        (desk,) = self.servicer._desks
        return desk

    async def until_rested(self) -> None:
        """Return once nothing is left of any call, at either end."""
        async with asyncio.timeout(WITHIN_S):
            while not self.rests():  # noqa: ASYNC110 - of counts that nobody announces
                await asyncio.sleep(0)

    def rests(self) -> bool:
        """Whether nothing is left of any call."""
        desk, session = self.desk, self.session
        boxes = (desk.outbox, session._outbox)
        waiting = any(box._full or box._long or box._batch.frames for box in boxes)
        return not (waiting or desk._calls or session._calls or session._waits._waits)


@asynccontextmanager
async def open_pair(handlers: Mapping[str, Any]) -> AsyncIterator[Pair]:
    """Have a link while the block runs; nothing of it is left behind."""
    before = asyncio.all_tasks()
    pair = Pair(handlers)
    serving = pair.stream.serving
    async with asyncio.timeout(WITHIN_S):
        hello = await pair.stream.read()
    assert isinstance(hello, ConnectResponse)

    def leave() -> None:
        if not pair.left.is_set():
            pair.left.set()
            pair.session.retire()

    running = asyncio.create_task(pair.session.run(leave))
    try:
        yield pair
    finally:
        leave()
        ended, late = await asyncio.wait([running, serving], timeout=WITHIN_S)
        for task in late:
            task.cancel()
        assert not late, f"a link without calls ends: {late}"
        assert not pair.session._calls
        assert not pair.servicer._desks
        for task in ended:
            if not task.cancelled():
                task.result()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before


def answers(behave: Unary) -> Any:
    """Return a handler with one answer."""
    return grpc.unary_unary_rpc_method_handler(behave, bytes, bytes)


def streams(behave: Streaming) -> Any:
    """Return a handler with a stream of answers."""
    return grpc.unary_stream_rpc_method_handler(behave, bytes, bytes)
