"""Cursors: places in a run's events that clients hand back, opaque to them.

Each carries a checksum over the run it belongs to, so that one of another run, or one that was
altered, is refused instead of pointing somewhere else. It holds no secret.
"""

import base64
import struct
import zlib
from typing import NamedTuple

from pentad_state.errors import InvalidCursor

_VERSION = 1
_CURSOR = struct.Struct(">BIQQ")


class Position(NamedTuple):
    """Behind the event `seq`, and behind `offset` bytes of the text of the turn it began."""

    seq: int = 0
    offset: int = 0


BEGINNING = Position()


def to_cursor(run_id: str, seq: int, offset: int = 0) -> str:
    """Return the cursor of a place in a run."""
    return encode(_CURSOR.pack(_VERSION, checksum(run_id, f"{seq}.{offset}"), seq, offset))


def from_cursor(run_id: str, cursor: str) -> Position:
    """Return the place, or raise InvalidCursor; nothing at all means the beginning."""
    if not cursor:
        return BEGINNING
    try:
        version, found, seq, offset = _CURSOR.unpack(decode(cursor))
    except (ValueError, struct.error):
        raise InvalidCursor from None
    if version != _VERSION or found != checksum(run_id, f"{seq}.{offset}"):
        raise InvalidCursor
    return Position(seq, offset)


def checksum(belongs_to: str, content: str) -> int:
    """Return 32 bits that tie a content to what it belongs to."""
    return zlib.crc32(content.encode(), zlib.crc32(belongs_to.encode()))


def encode(packed: bytes) -> str:
    """Return bytes as text that is safe in a URL."""
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes, or raise ValueError for what `encode` does not write."""
    packed = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
    if encode(packed) != text:
        raise ValueError("not how we write it")
    return packed
