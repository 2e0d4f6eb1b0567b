"""Entries: small versioned values, changed only by who knows their version."""

import asyncio

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.entry_service_pb2 import Entry
from pentad_state.bounds import PAYLOAD_BYTES, check_name, check_size, to_ms
from pentad_state.errors import EntryNotFound, VersionMismatch
from pentad_state.journal import to_time
from pentad_state.pages import SCANS_MAX, Page
from pentad_state.partitions import key, partition_of
from pentad_state.store import Store, script, to_dict

_TTL_S_MAX = 10 * 365 * 24 * 3600
_SCAN = 8
"""Entries read at once: few, for each may be as large as a payload."""


class Entries:
    """Every method is one atomic step of the store, lists aside."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, scope: str, name: str) -> Entry:
        """Return an entry."""
        fields = to_dict(await self._store.call("HGETALL", _keys(scope, name)[0]))
        if not fields:
            raise EntryNotFound(scope, name)
        return _to_entry(name, fields)

    async def put(
        self, scope: str, name: str, value: bytes, expected: int | None, ttl: Duration | None
    ) -> Entry:
        """Store a value if the entry has the expected version; return it without the value."""
        check_name("scope", scope)
        check_name("key", name)
        check_size("value", len(value), PAYLOAD_BYTES)
        verdict, *rest = await self._store.run(
            script("entry_put"),
            _keys(scope, name),
            name, value,
            "" if expected is None else expected,
            0 if ttl is None else to_ms("ttl", ttl, _TTL_S_MAX),
        )  # fmt: skip
        if verdict == b"MISMATCH":
            raise VersionMismatch(name, expected or 0, rest[0])
        return _to_entry(name, to_dict(rest[0]))

    async def delete(self, scope: str, name: str, expected: int | None) -> None:
        """Forget an entry if it has the expected version."""
        verdict, *rest = await self._store.run(
            script("entry_delete"),
            _keys(scope, name),
            name,
            "" if expected is None else expected,
        )
        if verdict == b"MISMATCH":
            raise VersionMismatch(name, expected or 0, rest[0])

    async def list_entries(
        self, scope: str, prefix: str, size: int, token: str
    ) -> tuple[list[Entry], str]:
        """Return a page of a scope's entries by key, and the token of the next."""
        page = Page[Entry](("entries", scope, prefix), size, token)
        index = _keys(scope, "")[1]
        end = f"({prefix}".encode() + b"\xff" if prefix else b"+"
        for _ in range(SCANS_MAX * 2):
            start = f"({page.last}" if page.last else f"[{prefix}"
            names = await self._store.call("ZRANGEBYLEX", index, start, end, "LIMIT", 0, _SCAN)
            found = await asyncio.gather(
                *(self._store.call("HGETALL", _keys(scope, n.decode())[0]) for n in names)
            )
            for name, flat in zip(names, found, strict=True):
                if not page.room:
                    return page.items, page.next_token()
                if flat:
                    page.add(name.decode(), _to_entry(name.decode(), to_dict(flat)))
                else:
                    page.skip(name.decode())
            if len(names) < _SCAN:
                return page.items, ""
        return page.items, page.next_token()


def _keys(scope: str, name: str) -> list[str]:
    """Return the keys of an entry, of its scope's index and of what expires there."""
    p = partition_of(scope)
    return [
        key(p, "entry", scope, name),
        key(p, "entries", scope),
        key(p, "entries-expiries", scope),
    ]


def _to_entry(name: str, fields: dict[bytes, bytes]) -> Entry:
    entry = Entry(
        key=name,
        value=fields.get(b"value", b""),
        version=int(fields[b"version"]),
        create_time=to_time(int(fields[b"created"])),
        update_time=to_time(int(fields[b"updated"])),
    )
    if b"expires" in fields:
        entry.expire_time.CopyFrom(to_time(int(fields[b"expires"])))
    return entry
