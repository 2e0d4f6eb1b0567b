"""The caller's end of a link."""

import asyncio
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import grpc

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse
from pentad_chassis.errors import DeadlineExceeded, Unavailable
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
        self._waits = Waits(self._overdue)
        self._calls: dict[int, Call] = {}
        self._ids = itertools.count(1)
        self._retired = False
        self._ended = False

    @property
    def is_open(self) -> bool:
        """Whether a call that is begun now would be sent soon."""
        return not (self._retired or self._outbox.is_crowded)

    def begin(
        self, method: str, request: bytes, timeout_s: float, metadata: Iterable[tuple[str, str]]
    ) -> Call:
        """Send a request; whoever calls leaves the call in the end, whatever became of it."""
        check_size(len(request))
        if self._ended:
            raise self._lost()
        due = asyncio.get_running_loop().time() + timeout_s
        call = Call(next(self._ids), self._outbox, self._waits.until(due), self._left)
        self._calls[call.call_id] = call
        self._outbox.begin(call.call_id, method, request, timeout_s, WINDOW, metadata)
        return call

    def retire(self) -> None:
        """Begin no more calls, and end the link with the last one."""
        self._retired = True
        self._left()

    async def run(self) -> None:
        """Carry calls until the link ends. Those without an answer have failed then."""
        writing = asyncio.create_task(self._write())
        try:
            await self._read()
        except grpc.aio.AioRpcError:
            pass  # its calls are told below, each by itself
        finally:
            self._retired = self._ended = True
            self._stream.cancel()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            for call in self._calls.values():
                call.fail(self._lost())

    async def _read(self) -> None:
        while isinstance(batch := await self._stream.read(), ConnectResponse):
            for frame in batch.frames:
                call = self._calls.get(frame.call_id)
                if call is not None:
                    call.receive(frame)
            if batch.go_away:
                self.retire()

    async def _write(self) -> None:
        try:
            while (batch := await self._outbox.take()) is not None:
                await self._stream.write(batch)
            await self._stream.done_writing()
        except BaseException:
            self._stream.cancel()  # a link that cannot be written to is none
            raise

    def _left(self, call: Call | None = None) -> None:
        if call is not None:
            del self._calls[call.call_id]
        if self._retired and not self._calls:
            self._outbox.close()

    def _lost(self) -> Unavailable:
        error = Unavailable(f"the {self._peer} service cannot be reached", peer=self._peer)
        error.unsaid = True
        return error

    def _overdue(self) -> DeadlineExceeded:
        error = DeadlineExceeded(f"{self._peer}: Deadline Exceeded", peer=self._peer)
        error.unsaid = True
        return error
