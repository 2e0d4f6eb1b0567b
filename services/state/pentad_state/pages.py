"""Lists in pages: how much a page holds, and tokens that lead to the next."""

import asyncio
import struct
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from pentad_state.cursor import checksum, decode, encode
from pentad_state.errors import InvalidPageToken
from pentad_state.partitions import PARTITIONS, key
from pentad_state.store import Store

_DEFAULT, _MAX = 50, 500

_BYTES = 3 * 1024 * 1024
"""A page ends here, so that every response fits into a message."""

SCANS_MAX = 40
"""Reads for one page; a filter that matches little gives short pages instead of long waits."""

SCAN = 50
"""Items looked at in one read."""

STAMP = 13
"""Digits of the time that a member of a newest-first index begins with."""

_VERSION = 1
_TOKEN = struct.Struct(">BI")


class _Message(Protocol):
    def ByteSize(self) -> int: ...


_Item = TypeVar("_Item", bound=_Message)


class Page(Generic[_Item]):
    """A page being filled, and where the next one begins.

    `listed` describes the list with all its filters: a token of another list is refused.
    """

    def __init__(self, listed: tuple[str, ...], size: int, token: str) -> None:
        self._listed = "".join(f"{len(part)}:{part}" for part in listed)
        self._size = min(size, _MAX) if size > 0 else _DEFAULT
        self._bytes = _BYTES
        self.last = self._parse(token)
        """The place behind which to go on; empty at the beginning of the list."""
        self.items: list[_Item] = []

    @property
    def room(self) -> int:
        """Items that fit still."""
        return self._size - len(self.items) if self._bytes > 0 else 0

    def skip(self, place: str) -> None:
        """Go on behind a place that gave nothing."""
        self.last = place

    def add(self, place: str, item: _Item) -> None:
        """Take an item."""
        self.items.append(item)
        self.last = place
        self._bytes -= item.ByteSize()

    def next_token(self) -> str:
        """Return the token of the page behind the last place."""
        packed = _TOKEN.pack(_VERSION, checksum(self._listed, self.last))
        return encode(packed + self.last.encode())

    def _parse(self, token: str) -> str:
        if not token:
            return ""
        try:
            packed = decode(token)
            version, found = _TOKEN.unpack(packed[: _TOKEN.size])
            last = packed[_TOKEN.size :].decode()
        except (ValueError, struct.error):
            raise InvalidPageToken from None
        if version != _VERSION or found != checksum(self._listed, last):
            raise InvalidPageToken
        return last


async def newest(store: Store, kind: str, tenant: str, before: str) -> tuple[list[str], bool]:
    """Return some of a tenant's members before a place, newest first, and if there may be more.

    The index has a part in each partition. From each comes a share; what is older than the end of
    a share that was full is left for the next read, for its partition may hold more in between.
    """
    keys = [key(p, kind, tenant) for p in range(PARTITIONS)]
    return await _newest(store, keys, f"({before}" if before else "+", "-")


async def newest_of(store: Store, kind: str, mine: str, before: str) -> tuple[list[str], bool]:
    """Return the same of an index that all tenants share: members that begin with `mine`.

    What follows in them begins with the digits of a time; `mine` is left out of what is returned.
    """
    keys = [key(p, kind) for p in range(PARTITIONS)]
    below = f"({mine}{before or ':'}"  # which comes behind every digit
    members, more = await _newest(store, keys, below, f"({mine}")
    return [member[len(mine) :] for member in members], more


async def _newest(
    store: Store, keys: Sequence[str], below: str, above: str
) -> tuple[list[str], bool]:
    share = SCAN // 8
    parts = await asyncio.gather(
        *(store.call("ZREVRANGEBYLEX", k, below, above, "LIMIT", 0, share) for k in keys)
    )
    horizon = max((part[-1] for part in parts if len(part) == share), default=b"")
    members = sorted((m for part in parts for m in part if m >= horizon), reverse=True)
    return [member.decode() for member in members[:SCAN]], bool(horizon) or len(members) > SCAN


async def by_name(store: Store, kind: str, tenant: str, after: str) -> tuple[list[str], bool]:
    """Return some of a tenant's members behind a name, in their order, and if there may be more.

    As with the newest, what is behind the end of a share that was full is left for the next read.
    """
    share = SCAN // 8
    start = f"({after}" if after else "-"
    parts = await asyncio.gather(
        *(
            store.call("ZRANGEBYLEX", key(p, kind, tenant), start, "+", "LIMIT", 0, share)
            for p in range(PARTITIONS)
        )
    )
    ends = [part[-1] for part in parts if len(part) == share]
    members = sorted(m for part in parts for m in part if not ends or m <= min(ends))
    return [member.decode() for member in members[:SCAN]], bool(ends) or len(members) > SCAN
