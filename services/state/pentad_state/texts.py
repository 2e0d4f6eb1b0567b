"""Text of turns in progress: kept for a while, shown to those who follow the run."""

import asyncio
from collections.abc import Sequence
from itertools import groupby

from pentad.state.v1.run_service_pb2 import TextPiece
from pentad_state.bounds import KIB, check_count
from pentad_state.cursor import Position
from pentad_state.journal import text_event
from pentad_state.partitions import key, partition_of_run
from pentad_state.store import Store, script
from pentad_state.watchers import Growth, Watchers

_PIECES_MAX = 1000
_BYTES_MAX = 1024 * KIB
_LIVE_MS = 3600 * 1000


class Texts:
    """What is kept here may be lost: the event that ends a turn holds its whole text."""

    def __init__(self, store: Store, watchers: Watchers) -> None:
        self._store = store
        self._watchers = watchers

    async def append(self, pieces: Sequence[TextPiece]) -> None:
        """Keep the pieces that continue the text of a turn in progress; drop the others."""
        check_count("pieces", len(pieces), _PIECES_MAX)
        turns = groupby(pieces, lambda p: (p.lease.run_id, p.lease.fence, p.turn_seq))
        await asyncio.gather(*(self._append(*turn, list(group)) for turn, group in turns))

    async def _append(self, run_id: str, fence: int, seq: int, pieces: Sequence[TextPiece]) -> None:
        p = partition_of_run(run_id)
        texts: list[str | int] = []
        for piece in pieces:
            texts += (piece.offset, piece.text)
        with self._watchers.recording(run_id) as grew:
            verdict, *rest = await self._store.run(
                script("run_text"),
                [key(p, "run", run_id), key(p, "text", run_id, str(seq))],
                run_id, fence, seq, _LIVE_MS, _BYTES_MAX, *texts,
            )  # fmt: skip
            if verdict == b"OK":
                before, after, ms = map(int, rest)
                if after > before:
                    grew(_growth(run_id, Position(seq, before), Position(seq, after), pieces, ms))


def _growth(
    run_id: str, start: Position, end: Position, pieces: Sequence[TextPiece], ms: int
) -> Growth:
    """Return what pieces have added: those that were taken stand one right behind the other."""
    text, offset = "", start.offset
    for piece in pieces:
        if piece.offset == offset < end.offset:
            text += piece.text
            offset += len(piece.text.encode())
    return Growth(start, [text_event(run_id, start, pieces[0].turn, text, ms)], end)
