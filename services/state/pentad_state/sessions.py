"""Sessions: conversations that outlive their runs."""

import asyncio
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.session_pb2 import Session, SessionMessage
from pentad_state.bounds import APPEND_BYTES, check_count, check_name, check_size, invalid, to_ms
from pentad_state.config import Config
from pentad_state.errors import SessionNotFound
from pentad_state.jobs import job_keys
from pentad_state.journal import to_time
from pentad_state.orders import check_names, orders, slot_keys
from pentad_state.pages import SCAN, SCANS_MAX, STAMP, Page, newest
from pentad_state.partitions import key, partition_of
from pentad_state.store import Store, script, to_dict

_TTL_S_MAX = 400 * 24 * 3600
INDEX_MS = 2 * _TTL_S_MAX * 1000
"""How long a tenant's index lives after its last use: longer than what it names."""
_MESSAGES_MAX = 100
_WINDOW_DEFAULT, _WINDOW_MAX = 100, 1000
_WINDOW_BYTES = 3 * 1024 * 1024
_BYTES_PER_TOKEN = 4


class Sessions:
    """Every method is one atomic step of the store, reads of several pages aside."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._ttl_ms = int(config.session_ttl_s * 1000)
        self._kept = config.session_messages_max

    async def append(
        self,
        tenant: str,
        session_id: str,
        append_id: str,
        messages: Sequence[SessionMessage],
        ttl: Duration | None,
        *,
        leaves: str = "",
    ) -> Session | None:
        """Add messages in one piece, in order, unless this append has been made before.

        A run may leave with them; None if it was to be rolled back, and the session is empty.
        """
        for field, name in (
            ("tenant", tenant), ("session_id", session_id), ("append_id", append_id),
        ):  # fmt: skip
            check_name(field, name)
        if not messages:
            raise invalid("messages", "must not be empty")
        check_count("messages", len(messages), _MESSAGES_MAX)
        kept = [message.SerializeToString() for message in messages]
        check_size("messages", sum(map(len, kept)), APPEND_BYTES)
        if leaves:
            check_names(tenant, session_id, leaves)
        p = partition_of(tenant, session_id)
        fields = await self._store.run(
            script("session_append"),
            [*session_keys(tenant, session_id), *slot_keys(tenant, session_id), *job_keys(p)],
            tenant, session_id, append_id,
            self._ttl_ms if ttl is None else to_ms("ttl", ttl, _TTL_S_MAX),
            self._kept, INDEX_MS, leaves, *orders(tenant, p), *kept,
        )  # fmt: skip
        return to_session(to_dict(fields)) if fields else None

    async def get(self, tenant: str, session_id: str) -> Session:
        """Return a session."""
        fields = to_dict(await self._store.call("HGETALL", session_keys(tenant, session_id)[0]))
        if not fields:
            raise SessionNotFound(session_id)
        return to_session(fields)

    async def list_sessions(self, tenant: str, size: int, token: str) -> tuple[list[Session], str]:
        """Return a page of a tenant's sessions, the last used first, and the token of the next."""
        page = Page[Session](("sessions", tenant), size, token)
        for _ in range(SCANS_MAX):
            members, more = await newest(self._store, "sessions", tenant, page.last)
            found = await asyncio.gather(
                *(self._store.call("HGETALL", session_keys(tenant, m[STAMP:])[0]) for m in members)
            )
            for member, flat in zip(members, found, strict=True):
                if not page.room:
                    return page.items, page.next_token()
                if flat:
                    page.add(member, to_session(to_dict(flat)))
                else:
                    page.skip(member)
            if not more:
                return page.items, ""
        return page.items, page.next_token()

    async def list_messages(
        self, tenant: str, session_id: str, size: int, token: str
    ) -> tuple[list[SessionMessage], str]:
        """Return a page of a session's messages, oldest first, and the token of the next."""
        page = Page[SessionMessage](("messages", tenant, session_id), size, token)
        session = await self.get(tenant, session_id)
        while page.room:
            first = int(page.last or "0") + 1
            found = await self._between(session, first, session.last_seq, min(page.room, SCAN))
            for message in found:
                if page.room:
                    page.add(str(message.seq), message)
            if not found or int(page.last) >= session.last_seq:
                return page.items, ""
        return page.items, page.next_token()

    async def window(
        self, tenant: str, session_id: str, last_seq: int, max_messages: int, max_tokens: int
    ) -> tuple[list[Message], int]:
        """Return the newest messages up to a place, oldest first, and the newest one's place."""
        try:
            session: Session | None = await self.get(tenant, session_id)
        except SessionNotFound:
            session = None
        return await self.window_of(session, last_seq, max_messages, max_tokens)

    async def window_of(
        self, session: Session | None, last_seq: int, max_messages: int, max_tokens: int
    ) -> tuple[list[Message], int]:
        """Return the same of a session that was read just now, or of none."""
        if session is None:
            return [], 0
        newest_seq = min(last_seq, session.last_seq) if last_seq > 0 else session.last_seq
        room = min(max_messages, _WINDOW_MAX) if max_messages > 0 else _WINDOW_DEFAULT
        room_bytes = min(max_tokens * _BYTES_PER_TOKEN or _WINDOW_BYTES, _WINDOW_BYTES)
        window: list[Message] = []
        seq = newest_seq
        while room > 0 and seq > 0:
            first = max(seq - min(room, SCAN) + 1, 1)
            found = await self._between(session, first, seq, SCAN)
            if not found:
                break
            for kept in reversed(found):
                room_bytes -= kept.message.ByteSize()
                if room_bytes < 0:
                    return window[::-1], newest_seq
                window.append(kept.message)
            room -= len(found)
            seq = found[0].seq - 1
        return window[::-1], newest_seq

    async def delete(self, tenant: str, session_id: str) -> None:
        """Forget a session and its messages; who is at it, and in line, stays there."""
        keys = [*session_keys(tenant, session_id), *slot_keys(tenant, session_id)]
        await self._store.run(script("session_delete"), keys, session_id)

    async def _between(
        self, session: Session, first: int, last: int, most: int
    ) -> list[SessionMessage]:
        """Return the oldest messages between two places, without those that are gone."""
        keys = session_keys(session.tenant, session.session_id)[:2]
        seq, found = await self._store.run(script("session_read"), keys, first, last, most)
        return [_to_message(i, kept) for i, kept in enumerate(found, seq)]


def session_keys(tenant: str, session_id: str) -> list[str]:
    """Return the keys of a session, of its messages and appends, and of its tenant's index."""
    p = partition_of(tenant, session_id)
    return [
        key(p, "session", tenant, session_id),
        key(p, "messages", tenant, session_id),
        key(p, "appends", tenant, session_id),
        key(p, "sessions", tenant),
        key(p, "sessions-expiries", tenant),
    ]


def to_session(fields: dict[bytes, bytes]) -> Session:
    """Return the session whose hash has these fields."""
    return Session(
        session_id=fields[b"session_id"].decode(),
        tenant=fields[b"tenant"].decode(),
        last_seq=int(fields[b"seq"]),
        create_time=to_time(int(fields[b"created"])),
        update_time=to_time(int(fields[b"updated"])),
        expire_time=to_time(int(fields[b"expires"])),
    )


def _to_message(seq: int, kept: bytes) -> SessionMessage:
    message = SessionMessage.FromString(kept[STAMP:])
    message.seq = seq
    message.time.CopyFrom(to_time(int(kept[:STAMP])))
    return message
