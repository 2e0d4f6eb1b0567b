"""Forks: runs and sessions that begin with what another one was up to a place."""

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.event_pb2 import Event, Fork, RunCreated, RunForked
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad.state.v1.session_pb2 import Session
from pentad_state.bounds import APPEND_BYTES, KIB, check_name, check_size
from pentad_state.config import Config
from pentad_state.errors import (
    EventNotFound,
    MessageNotFound,
    RequestIdReused,
    RunNotFound,
    ScheduleFull,
    SessionAlreadyExists,
)
from pentad_state.journal import STAMP, TAG, tag_of, to_kept, to_time
from pentad_state.leases import JOURNAL_BYTES, JOURNAL_EVENTS
from pentad_state.orders import slot_keys
from pentad_state.pages import SCAN
from pentad_state.partitions import PARTITIONS, key, partition_of_run, run_id_for
from pentad_state.projection import level_of, to_head, to_run
from pentad_state.sessions import INDEX_MS, Sessions, session_keys, to_session
from pentad_state.store import Store, script, to_dict

FORK_BYTES = 16 * 1024 * KIB
"""Of a journal, or of a session, that a fork begins with."""


class Forks:
    """Each fork is read in pieces, which never change, and recorded in one atomic step."""

    def __init__(self, store: Store, config: Config, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions
        self._queued_max = config.max_queued // PARTITIONS

    async def fork_session(
        self, tenant: str, session_id: str, at_seq: int, new_session_id: str, fork_id: str
    ) -> Session:
        """Begin a session with the messages of another one up to a place."""
        check_name("new_session_id", new_session_id)
        check_name("fork_id", fork_id)
        source = await self._sessions.get(tenant, session_id)
        live = source.expire_time.ToMilliseconds() - source.update_time.ToMilliseconds()
        verdict, *held = await self._store.run(
            script("session_fork"),
            [*session_keys(tenant, new_session_id), *slot_keys(tenant, new_session_id)],
            tenant, new_session_id, tag_of(f"{session_id}/{at_seq}/{fork_id}"), at_seq, live,
            INDEX_MS, *await self._messages(source, at_seq),
        )  # fmt: skip
        if verdict == b"EXISTS":
            raise SessionAlreadyExists(new_session_id)
        return to_session(to_dict(held[0]))

    async def fork_run(
        self, request_id: str, fingerprint: bytes, created: RunCreated, status: RunStatus
    ) -> Run:
        """Record a run that begins with another one's events, and put it into the schedule."""
        check_name("request_id", request_id)
        check_name("created.tenant", created.tenant)
        check_size("created", created.ByteSize() + status.ByteSize(), APPEND_BYTES)
        journal = await self._journal(created.tenant, created.forked_from)
        first = journal[0][: STAMP + TAG] + to_kept(Event(run_created=created))
        forked = Event(
            run_forked=RunForked(fork=created.forked_from, last_time=_time_of(journal[-1]))
        )
        run_id = run_id_for(created.tenant, request_id)
        p = partition_of_run(run_id)
        verdict, *held = await self._store.run(
            script("run_fork"),
            [
                key(p, "run", run_id), key(p, "journal", run_id), key(p, "ready"),
                key(p, "runs", created.tenant), key(p, "due"), key(p, "turns"),
            ],
            run_id, created.tenant, fingerprint, to_head(run_id, created).SerializeToString(),
            level_of(created.spec), max(created.spec.start_time.ToMilliseconds(), 0),
            self._queued_max, status.SerializeToString(), to_kept(forked), first, *journal[1:],
        )  # fmt: skip
        match verdict:
            case b"REUSED":
                raise RequestIdReused(request_id)
            case b"FULL":
                raise ScheduleFull(self._queued_max * PARTITIONS)
        return to_run(to_dict(held[0]))

    async def _journal(self, tenant: str, fork: Fork) -> list[bytes]:
        """Return the events that a fork begins with, as they are kept."""
        run_id = fork.run_id
        p = partition_of_run(run_id)
        keys = [key(p, "run", run_id), key(p, "journal", run_id)]
        owner, seq = await self._store.call("HMGET", keys[0], "tenant", "seq", lasting=True)
        if owner != tenant.encode():
            raise RunNotFound(run_id)
        if not 1 <= fork.seq <= int(seq):
            raise EventNotFound(run_id, fork.seq, int(seq))
        journal: list[bytes] = []
        size = 0
        while len(journal) < fork.seq:
            most = min(JOURNAL_EVENTS, fork.seq - len(journal))
            read = script("run_events")
            some = await self._store.run(read, keys, len(journal), most, JOURNAL_BYTES)
            if not some:
                raise RunNotFound(run_id)
            journal += some
            size += sum(map(len, some))
            check_size("events", size, FORK_BYTES)
        return journal

    async def _messages(self, source: Session, at_seq: int) -> list[bytes]:
        """Return a session's messages up to a place that is there, as they are kept."""
        if not 1 <= at_seq <= source.last_seq:
            raise MessageNotFound(source.session_id, at_seq, source.last_seq)
        keys = session_keys(source.tenant, source.session_id)[:2]
        messages: list[bytes] = []
        size, first = 0, 1
        while first <= at_seq:
            at, some = await self._store.run(script("session_read"), keys, first, at_seq, SCAN)
            if not some:
                raise MessageNotFound(source.session_id, at_seq, source.last_seq)
            messages += some
            size += sum(map(len, some))
            check_size("messages", size, FORK_BYTES)
            first = at + len(some)
        return messages


def _time_of(kept: bytes) -> Timestamp:
    return to_time(int(kept[:STAMP]))
