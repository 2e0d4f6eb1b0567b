"""One hop of a chain, however it is carried."""

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

SERVICE = "bench.Floor"
WAIT_S = 20.0
"""Time for a call; nodes start all at once, and whoever is first waits for the others."""

Ask = Callable[[bytes], Awaitable[bytes]]
Listen = Callable[[bytes], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Hop:
    """What a node can be asked for, seen from either end."""

    ask: Ask
    """One answer."""

    listen: Listen
    """Many, and then the end."""


_REQUEST = struct.Struct(">BQ")
_PADDING = bytes(100)


def to_request(number: int, writes: int) -> bytes:
    """Return a request that has its `writes` recorded, told apart by its number."""
    return _REQUEST.pack(writes, number) + _PADDING


def from_request(request: bytes) -> tuple[int, int]:
    """Return the number and the writes of a request."""
    writes, number = _REQUEST.unpack_from(request)
    return number, writes
