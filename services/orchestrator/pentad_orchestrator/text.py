"""Text that models are writing, on its way to tails: collected over all runs, best effort.

`turn_completed` holds the whole text. A tail therefore sees all of a turn's text in pieces, or
the beginning of it, or none; and never a piece behind the event that ends the turn.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
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
                    self._sink.hurry()
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
        self._bytes = 0
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
        waiting = self._waiting.setdefault(stream, _Waiting())
        waiting.texts.append(text)
        waiting.size += size
        self._bytes += size
        self._some.set()
        return True

    def holds(self, stream: TextStream) -> bool:
        """Whether something of a stream waits."""
        return stream in self._waiting

    def drop(self, stream: TextStream) -> None:
        """Forget what waits of a stream."""
        waiting = self._waiting.pop(stream, None)
        self._bytes -= 0 if waiting is None else waiting.size

    def hurry(self) -> None:
        """Send what waits without waiting for more."""
        if self._waiting:  # what is under way already needs no hurry, nor does what comes next
            self._urgent.set()

    async def send(self) -> None:
        """Send what waits an interval after the first of it came, or sooner if somebody asks."""
        await self._some.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval_s):
                await self._urgent.wait()
        self._some.clear()
        self._urgent.clear()
        for pieces in self._requests():
            await self._send(pieces)

    def _requests(self) -> Iterator[dict[TextStream, TextPiece]]:
        """Take what waits now, as much at a time as a request may hold."""
        left = len(self._waiting)
        while left > 0 and self._waiting:
            pieces: dict[TextStream, TextPiece] = {}
            size = 0
            while self._waiting and len(pieces) < min(_PIECES_MAX, left):
                stream = next(iter(self._waiting))
                waiting = self._waiting.pop(stream)
                pieces[stream] = stream.take("".join(waiting.texts), waiting.size)
                self._bytes -= waiting.size
                size += waiting.size
                if size >= _REQUEST_BYTES_MAX:
                    break
            left -= len(pieces)
            yield pieces

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
