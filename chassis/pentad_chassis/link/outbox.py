"""What waits to be sent on a link, and in what portions it leaves."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse, Frame

PART_BYTES = 32 * 1024
"""A longer payload leaves in parts, with what others send between them."""

BATCH_BYTES = 128 * 1024
"""In one message of the link, about: what a large payload may hold up a small one by."""

_FRAME_BYTES = 128
"""What a frame takes besides what it carries, about."""

_CROWD = 8
"""Messages of the link that wait: fewer are a burst, and leave soon."""

_LONG_CROWD = 64
"""Long payloads that wait."""

_Batch = TypeVar("_Batch", ConnectRequest, ConnectResponse)


class Outbox(Generic[_Batch]):
    """Frames that wait while the link is busy; all of them leave in its next message.

    Its length is bounded by what fills it: a server by its admission, a stream by its credit.
    """

    def __init__(self, batch: type[_Batch]) -> None:
        self._new: Callable[[], _Batch] = batch
        self._batch: _Batch = batch()
        self._bytes = 0
        self._full: deque[_Batch] = deque()
        self._long: deque[Remainder] = deque()
        self._wanted = asyncio.Event()
        self._taken = asyncio.Event()
        self._closed = False

    def begin(
        self, call_id: int, method: str, request: bytes, timeout_s: float, credit: int,
        metadata: Iterable[tuple[str, str]],
    ) -> None:  # fmt: skip
        """Send a request."""
        begin = self._frame(call_id, len(request)).begin
        begin.method = method
        begin.timeout_us = max(0, int(timeout_s * 1e6))
        begin.credit = credit
        for key, value in metadata:
            begin.metadata[key] = value
        if len(request) <= PART_BYTES:
            begin.request = request
        else:
            begin.request = request[:PART_BYTES]
            begin.more = True
            self._send_long(Remainder(call_id, request, PART_BYTES))

    def message(self, call_id: int, data: bytes) -> "Remainder | None":
        """Send a message; what is returned is to have left before the call's next frame."""
        if len(data) <= PART_BYTES:
            self._frame(call_id, len(data)).message.data = data
            return None
        return self._send_long(Remainder(call_id, data))

    def end(
        self, call_id: int, response: bytes = b"", status: bytes = b"", *, retried: bool = False
    ) -> None:
        """Send the end of a call: an answer, or why there is none."""
        if len(response) > PART_BYTES:
            self._send_long(Remainder(call_id, response, ends=True))
            return
        end = self._frame(call_id, len(response) + len(status)).end
        end.response = response
        end.status = status
        end.retried = retried

    def credit(self, call_id: int, messages: int) -> None:
        """Send room for messages."""
        self._frame(call_id).credit = messages

    def cancel(self, call_id: int) -> None:
        """Send the end of interest in a call, and nothing more of it."""
        self.drop(call_id)
        self._frame(call_id).cancel.SetInParent()

    def drop(self, call_id: int) -> None:
        """Forget what is left to be sent of a long payload."""
        for remainder in [r for r in self._long if r.call_id == call_id]:
            self._long.remove(remainder)
            remainder.left.set()

    def touch(self) -> _Batch:
        """Return the batch that waits, to be sent even if no frame comes."""
        self._wanted.set()
        return self._batch

    def close(self) -> None:
        """Let what waits be the last."""
        self._closed = True
        self._wanted.set()
        self._taken.set()

    @property
    def is_crowded(self) -> bool:
        """Whether the other side is slow to take what it is sent."""
        return len(self._full) >= _CROWD or len(self._long) >= _LONG_CROWD

    async def room(self) -> None:
        """Wait until it is not crowded, or closed."""
        while self.is_crowded and not self._closed:
            self._taken.clear()
            await self._taken.wait()

    async def take(self) -> _Batch | None:
        """Wait for something to send, and return it; None when nothing follows."""
        while True:
            await self._wanted.wait()
            self._taken.set()
            if self._full:
                return self._full.popleft()
            self._fill(BATCH_BYTES)
            batch, self._batch, self._bytes = self._batch, self._new(), 0
            if not (self._long or self._closed):
                self._wanted.clear()
            if batch.frames or batch.ByteSize():
                return batch
            if self._closed:
                return None

    def _frame(self, call_id: int, payload_bytes: int = 0) -> Frame:
        """Return a new frame, which whoever asked for it fills at once."""
        if self._bytes >= BATCH_BYTES:
            self._full.append(self._batch)
            self._batch, self._bytes = self._new(), 0
            self._fill(BATCH_BYTES // 2)  # however many short ones come, long ones go on
        self._bytes += _FRAME_BYTES + min(payload_bytes, PART_BYTES)
        self._wanted.set()
        return self._batch.frames.add(call_id=call_id)

    def _fill(self, size: int) -> None:
        """Add parts of long payloads to the batch, each in its turn, up to a size."""
        while self._long and self._bytes < size:
            remainder = self._long.popleft()
            frame = self._batch.frames.add(call_id=remainder.call_id)
            self._bytes += remainder.add_to(frame)
            if not remainder.left.is_set():
                self._long.append(remainder)

    def _send_long(self, remainder: "Remainder") -> "Remainder":
        self._long.append(remainder)
        self._wanted.set()
        return remainder


class Remainder:
    """What is left to be sent of a payload that leaves in parts."""

    __slots__ = ("_at", "_data", "_ends", "call_id", "left")

    def __init__(self, call_id: int, data: bytes, at: int = 0, *, ends: bool = False) -> None:
        self.call_id = call_id
        self.left = asyncio.Event()
        """Set when there is nothing left."""
        self._data = data
        self._at = at
        self._ends = ends

    def add_to(self, frame: Frame) -> int:
        """Put the next part into a frame; return its size."""
        part = self._data[self._at : self._at + PART_BYTES]
        self._at += len(part)
        is_last = self._at >= len(self._data)
        if is_last:
            self.left.set()
        if is_last and self._ends:
            frame.end.response = part
        else:
            frame.message.data = part
            frame.message.more = not is_last
        return len(part)
