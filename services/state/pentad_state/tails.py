"""Tails: a run's events, and the text between them, from any place on and as they come."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_chassis.clock import Clock
from pentad_state.cursor import Position, from_cursor
from pentad_state.errors import InvalidCursor, RunNotFound
from pentad_state.journal import from_kept, text_event, turn_of
from pentad_state.partitions import key, partition_of_run
from pentad_state.runs import ENDED, Runs
from pentad_state.store import Store, script
from pentad_state.waiting import wait_for

_LOOK_S = 3.0
"""A tail looks by itself after this long: an announcement may have been lost."""

_EVENTS_AT_ONCE = 128
_BYTES_AT_ONCE = 512 * 1024
_RESPONSE_BYTES = 1024 * 1024
_WAIT_S_MAX = 600.0


class Watchers:
    """Who waits for which run to go on."""

    def __init__(self) -> None:
        self._events: dict[str, set[asyncio.Event]] = {}
        self.count = 0
        """How many wait."""

    def heard(self, message: bytes) -> None:
        """Wake those who wait for the run that the message names."""
        for event in self._events.get(message.decode(errors="replace"), ()):
            event.set()

    def missed(self) -> None:
        """Wake everybody."""
        for events in self._events.values():
            for event in events:
                event.set()

    @contextmanager
    def watch(self, run_id: str) -> Iterator[asyncio.Event]:
        """Hold an event that is set whenever the run may have gone on."""
        event = asyncio.Event()
        self._events.setdefault(run_id, set()).add(event)
        self.count += 1
        try:
            yield event
        finally:
            self.count -= 1
            self._events[run_id].discard(event)
            if not self._events[run_id]:
                del self._events[run_id]


@dataclass(frozen=True, slots=True)
class _View:
    """What stood behind a position at one moment."""

    state: RunStatus.State.ValueType
    last_seq: int
    events: list[Event]


class Tails:
    """Follows runs for clients."""

    def __init__(self, store: Store, runs: Runs, watchers: Watchers, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._watchers = watchers
        self._clock = clock

    async def tail(self, tenant: str, run_id: str, after: str) -> AsyncGenerator[list[Event], None]:
        """Yield the events behind a cursor, several at once, until the run has ended."""
        at = from_cursor(run_id, after)
        with self._watchers.watch(run_id) as event:
            while True:
                event.clear()
                view = await self._read(tenant, run_id, at)
                for batch in _batches(view.events):
                    yield batch
                at = _behind(view.events, at)
                if at.seq == view.last_seq and view.state in ENDED:
                    return
                if not view.events:
                    await wait_for(event, _LOOK_S)

    async def wait(self, tenant: str, run_id: str, timeout_s: float) -> Run:
        """Return the run once it has ended, or as it stands after a time."""
        until = self._clock.monotonic() + min(max(timeout_s, 0.0), _WAIT_S_MAX)
        with self._watchers.watch(run_id) as event:
            while True:
                event.clear()
                run, _ = await self._runs.get(tenant, run_id)
                left_s = until - self._clock.monotonic()
                if run.status.state in ENDED or left_s <= 0:
                    return run
                await wait_for(event, min(left_s, _LOOK_S))

    async def _read(self, tenant: str, run_id: str, at: Position) -> _View:
        p = partition_of_run(run_id)
        verdict, *rest = await self._store.run(
            script("run_tail"),
            [
                key(p, "run", run_id), key(p, "journal", run_id),
                key(p, "text", run_id, str(at.seq)),
            ],
            tenant, at.seq, at.offset, _EVENTS_AT_ONCE, _BYTES_AT_ONCE,
        )  # fmt: skip
        if verdict == b"GONE":
            raise RunNotFound(run_id)
        if verdict == b"BEYOND":
            raise InvalidCursor
        state, last_seq, ms, started, text, kept = rest
        events: list[Event] = []
        if text and turn_of(begun := from_kept(run_id, at.seq, started)):
            events.append(_text(begun, at.offset, text, int(ms)))
        journalled = [from_kept(run_id, at.seq + i, event) for i, event in enumerate(kept, 1)]
        for event, text in zip(journalled, await self._texts(p, journalled), strict=True):
            events.append(event)
            if text:
                events.append(_text(event, 0, text, int(ms)))
        return _View(state, last_seq, events)

    async def _texts(self, partition: int, events: list[Event]) -> list[bytes]:
        """Return the text kept for each event; only those that begin a turn may have one.

        Behind a later event a text is final. That of the last event may grow meanwhile; what is
        added comes with the next read.
        """
        keys = [key(partition, "text", e.run_id, str(e.seq)) for e in events if turn_of(e)]
        found = iter(
            await asyncio.gather(*(self._store.call("GET", k, lasting=True) for k in keys))
        )
        return [(next(found) or b"") if turn_of(event) else b"" for event in events]


def _text(started: Event, offset: int, text: bytes, ms: int) -> Event:
    try:
        return text_event(started, offset, text.decode(), ms)
    except UnicodeDecodeError:
        raise InvalidCursor from None  # its offset stands inside of a character


def _behind(events: list[Event], at: Position) -> Position:
    """Return the position behind the last event."""
    if not events:
        return at
    last = events[-1]
    delta = last.text_delta
    return Position(last.seq, delta.offset + len(delta.text.encode()))


def _batches(events: list[Event]) -> Iterator[list[Event]]:
    """Divide events so that each response fits into a message."""
    batch: list[Event] = []
    size = 0
    for event in events:
        if batch and size + event.ByteSize() > _RESPONSE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += event.ByteSize()
    if batch:
        yield batch
