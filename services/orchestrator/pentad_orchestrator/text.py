"""Text that models are writing, on its way to tails: collected over all runs, best effort.

`turn_completed` holds the whole text. A tail therefore sees all of a turn's text in pieces, or
the beginning of it, or none; and never a piece behind the event that ends the turn.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from pentad.state.v1.run_service_pb2 import AppendTextRequest, Lease, TextPiece
from pentad_chassis.errors import ServiceError

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

_TIMEOUT_S = 2.0
_PIECES_MAX = 1000
_REQUEST_BYTES_MAX = 1024 * 1024
_WAITING_BYTES_MAX = 8 * 1024 * 1024


@dataclass(slots=True)
class _Waiting:
    texts: list[str] = field(default_factory=list)
    size: int = 0


class TextStream:
    """The text of one attempt at one turn."""

    def __init__(self, sink: "TextSink", lease: Lease, turn_seq: int, turn: int) -> None:
        self._sink = sink
        self._piece = TextPiece(lease=lease, turn_seq=turn_seq, turn=turn)
        self._taken_bytes = 0
        self._broken = False
        self._in_flight = False
        self._arrived = asyncio.Event()

    @property
    def shown(self) -> bool:
        """Whether somebody may have seen a part of the text."""
        return self._taken_bytes > 0

    def write(self, text: str) -> None:
        """Send a piece on, soon."""
        if text and not self._broken and not self._sink.put(self, text):
            self.discard()

    def discard(self) -> None:
        """Send nothing more of this attempt; a piece behind a gap would be read as garbage."""
        self._broken = True
        self._sink.drop(self)

    async def close(self) -> None:
        """Leave nothing on its way: text that began to be shown is sent to its end, else dropped.

        What nobody has seen yet would reach them together with the turn that holds it.
        """
        if not self.shown:
            self.discard()
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * _TIMEOUT_S):
                while self._in_flight or self._sink.holds(self):
                    self._arrived.clear()
                    self._sink.hurry(self)
                    await self._arrived.wait()

    def take(self, text: str, size: int) -> TextPiece:
        """Return the next piece, which is on its way from now."""
        piece = TextPiece(offset=self._taken_bytes, text=text)
        piece.MergeFrom(self._piece)
        self._taken_bytes += size
        self._in_flight = True
        return piece

    def arrive(self, *, kept: bool) -> None:
        """The piece is kept, or lost."""
        self._in_flight = False
        if not kept:
            self.discard()
        self._arrived.set()


class TextSink:
    """Collects pieces of many runs and sends them in few calls, one at a time."""

    def __init__(
        self, runs: "RunServiceAsyncStub", interval_s: float, log: FilteringBoundLogger
    ) -> None:
        self._runs = runs
        self._interval_s = interval_s
        self._log = log
        self._waiting: dict[TextStream, _Waiting] = {}
        self._hurried: dict[TextStream, None] = {}
        self._bytes = 0
        self._due_s = 0.0
        """When all that waits is to leave, by the loop's clock."""
        self._some = asyncio.Event()
        self._urgent = asyncio.Event()

    @asynccontextmanager
    async def stream(self, lease: Lease, turn_seq: int, turn: int) -> AsyncIterator[TextStream]:
        """Open the text of an attempt; leaving leaves nothing of it on its way."""
        stream = TextStream(self, lease, turn_seq, turn)
        try:
            yield stream
            await stream.close()
        finally:
            stream.discard()

    def put(self, stream: TextStream, text: str) -> bool:
        """Note what a stream has to send; False when too much waits already."""
        size = len(text.encode())
        if self._bytes + size > _WAITING_BYTES_MAX:
            self._log.warning("text dropped", reason="BUFFER_FULL", waiting_bytes=self._bytes)
            return False
        if not self._waiting:
            self._due_s = asyncio.get_running_loop().time() + self._interval_s
        waiting = self._waiting.setdefault(stream, _Waiting())
        waiting.texts.append(text)
        waiting.size += size
        self._bytes += size
        self._some.set()
        if not stream.shown:
            self.hurry(stream)  # somebody looks at nothing yet
        return True

    def holds(self, stream: TextStream) -> bool:
        """Whether something of a stream waits."""
        return stream in self._waiting

    def drop(self, stream: TextStream) -> None:
        """Forget what waits of a stream."""
        waiting = self._waiting.pop(stream, None)
        self._bytes -= 0 if waiting is None else waiting.size

    def hurry(self, stream: TextStream) -> None:
        """Send what waits of a stream without waiting for more."""
        if stream in self._waiting:  # what is under way already needs no hurry
            self._hurried[stream] = None
            self._urgent.set()

    async def send(self) -> None:
        """Send all that waits an interval after the first of it came; what is in a hurry, at once.

        The first of a text is in a hurry, and so is the last: turns wait for it. But text that its
        turn comes right behind is not sent at all, for the turn holds it.
        """
        await self._some.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._due_s):
                await self._urgent.wait()
        is_due = asyncio.get_running_loop().time() >= self._due_s
        streams = deque(self._waiting if is_due else self._hurried)
        self._hurried.clear()
        self._urgent.clear()
        while streams:
            if pieces := self._take(streams):
                await self._send(pieces)
        if not self._waiting:
            self._some.clear()

    def _take(self, streams: deque[TextStream]) -> dict[TextStream, TextPiece]:
        """Return what waits of the first of the streams, as much as a request may hold."""
        pieces: dict[TextStream, TextPiece] = {}
        size = 0
        while streams and len(pieces) < _PIECES_MAX and size < _REQUEST_BYTES_MAX:
            stream = streams.popleft()
            if waiting := self._waiting.pop(stream, None):
                pieces[stream] = stream.take("".join(waiting.texts), waiting.size)
                self._bytes -= waiting.size
                size += waiting.size
        return pieces

    async def _send(self, pieces: dict[TextStream, TextPiece]) -> None:
        kept = False
        try:
            request = AppendTextRequest(pieces=pieces.values())
            await self._runs.AppendText(request, timeout=_TIMEOUT_S)
            kept = True
        except ServiceError as error:
            self._log.warning("text dropped", reason=error.reason, pieces=len(pieces))
        finally:
            for stream in pieces:
                stream.arrive(kept=kept)
