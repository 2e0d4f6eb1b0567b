"""The caller's end of a link."""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import grpc

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse
from pentad_chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from pentad_chassis.link.assembly import check_size
from pentad_chassis.link.call import WINDOW, Call
from pentad_chassis.link.outbox import Outbox
from pentad_chassis.waits import Waits

if TYPE_CHECKING:
    Stream = grpc.aio.StreamStreamCall[ConnectRequest, ConnectResponse]


class Session:
    """One stream to one replica, and the calls on it."""

    def __init__(self, stream: "Stream", peer: str, instance: str) -> None:
        self.instance = instance
        """Which replica it is."""
        self._stream = stream
        self._peer = peer
        self._outbox = Outbox(ConnectRequest)
        # Not a method: a cycle would keep the stream, and what gRPC holds for it, until the
        # collector goes over old objects, while a new link is opened every few seconds.
        self._waits = Waits(partial(_overdue, peer))
        self._calls: dict[int, Call] = {}
        self._ids = itertools.count(1)
        self._retired = False

    @property
    def is_crowded(self) -> bool:
        """Whether a call that is begun now would have to wait until it is sent."""
        return self._outbox.is_crowded

    def begin(
        self, method: str, request: bytes, timeout_s: float, metadata: Iterable[tuple[str, str]]
    ) -> Call:
        """Send a request; whoever calls leaves the call in the end, whatever became of it."""
        due = asyncio.get_running_loop().time() + timeout_s
        call = Call(next(self._ids), self._outbox, self._waits.until(due), self._left)
        self._calls[call.call_id] = call
        try:
            check_size(len(request))
        except ResourceExhausted as error:
            call.fail(error)
        else:
            self._outbox.begin(call.call_id, method, request, timeout_s, WINDOW, metadata)
        return call

    def retire(self) -> None:
        """End the link with the last call; whoever retires it begins no more."""
        self._retired = True
        self._end_with_the_last()

    async def run(self, leave: Callable[[], None]) -> None:
        """Carry calls until the link ends. Those without an answer have failed then.

        `leave` is to see that no more are begun, and to retire it.
        """
        writing = asyncio.create_task(self._write())
        try:
            await self._read(leave)
        except grpc.aio.AioRpcError:
            pass  # its calls are told below, each by itself
        finally:
            leave()
            self._stream.cancel()
            writing.cancel()
            for call in self._calls.values():
                call.fail(self._lost())
            self._waits.close()
            await asyncio.gather(writing, return_exceptions=True)

    async def _read(self, leave: Callable[[], None]) -> None:
        while isinstance(batch := await self._stream.read(), ConnectResponse):
            for frame in batch.frames:
                call = self._calls.get(frame.call_id)
                if call is not None:
                    call.receive(frame)
            if batch.go_away:
                leave()

    async def _write(self) -> None:
        try:
            while (batch := await self._outbox.take()) is not None:
                await self._stream.write(batch)
            await self._stream.done_writing()
        except BaseException:
            self._stream.cancel()  # a link that cannot be written to is none
            raise

    def _left(self, call: Call) -> None:
        del self._calls[call.call_id]
        self._end_with_the_last()

    def _end_with_the_last(self) -> None:
        if self._retired and not self._calls:
            self._outbox.close()

    def _lost(self) -> Unavailable:
        error = Unavailable(f"the {self._peer} service cannot be reached", peer=self._peer)
        error.unsaid = True
        return error


def _overdue(peer: str) -> DeadlineExceeded:
    error = DeadlineExceeded(f"{peer}: Deadline Exceeded", peer=peer)
    error.unsaid = True
    return error
