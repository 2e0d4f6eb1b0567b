"""Tails: a run's events, and the text between them, from any place on and as they come."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run
from pentad_chassis.clock import Clock
from pentad_state.cursor import BEGINNING, Position, from_cursor
from pentad_state.errors import InvalidCursor, RunNotFound
from pentad_state.journal import from_kept, text_event, turn_of
from pentad_state.partitions import key, partition_of_run
from pentad_state.projection import ENDED
from pentad_state.runs import Runs
from pentad_state.store import Store, script
from pentad_state.watchers import Growth, Watchers

_EVENTS_AT_ONCE = 128
_BYTES_AT_ONCE = 512 * 1024
_RESPONSE_BYTES = 1024 * 1024
_WAIT_S_MAX = 600.0


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
        with self._watchers.watch(run_id) as watch:
            while True:
                grown = watch.take(at)
                if grown is None and watch.begin_look(at):
                    grown = await self._read(tenant, run_id, at)
                if grown is None:
                    await watch.wait()
                    continue
                for batch in _batches(grown.events):
                    yield batch
                at = grown.end
                if grown.closes:
                    return
                if grown.more:
                    watch.look()

    async def wait(self, tenant: str, run_id: str, timeout_s: float) -> Run:
        """Return the run once it has ended, or as it stands after a time."""
        until = self._clock.monotonic() + min(max(timeout_s, 0.0), _WAIT_S_MAX)
        with self._watchers.watch(run_id, follows=False) as watch:
            while True:
                watch.begin_look(BEGINNING)
                run, _ = await self._runs.get(tenant, run_id)
                left_s = until - self._clock.monotonic()
                if run.status.state in ENDED or left_s <= 0:
                    return run
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await watch.wait()

    async def _read(self, tenant: str, run_id: str, at: Position) -> Growth:
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
        state, last_seq, last_text, ms, started, text, kept = rest
        events: list[Event] = []
        if text and turn_of(begun := from_kept(run_id, at.seq, started)):
            events.append(_text(begun, at.offset, text, int(ms)))
        journalled = [from_kept(run_id, at.seq + i, event) for i, event in enumerate(kept, 1)]
        spoken = [e for e in journalled if turn_of(e) and (e.seq < last_seq or last_text)]
        texts = await self._texts(p, spoken)
        for event in journalled:
            events.append(event)
            if text := texts.get(event.seq):
                events.append(_text(event, 0, text, int(ms)))
        end = _behind(events, at)
        closes = end.seq == last_seq and state in ENDED
        return Growth(at, events, end, closes=closes, more=end.seq < last_seq)

    async def _texts(self, partition: int, events: Sequence[Event]) -> dict[int, bytes]:
        """Return the text kept for each of the events that begin a turn, by its place.

        Behind a later event a text is final. That of the last event may grow meanwhile; what is
        added is announced.
        """
        keys = [key(partition, "text", e.run_id, str(e.seq)) for e in events]
        found = await asyncio.gather(*(self._store.call("GET", k, lasting=True) for k in keys))
        return {event.seq: text or b"" for event, text in zip(events, found, strict=True)}


def _text(started: Event, offset: int, text: bytes, ms: int) -> Event:
    try:
        at = Position(started.seq, offset)
        return text_event(started.run_id, at, turn_of(started), text.decode(), ms)
    except UnicodeDecodeError:
        raise InvalidCursor from None  # its offset stands inside of a character


def _behind(events: Sequence[Event], at: Position) -> Position:
    """Return the position behind the last event."""
    if not events:
        return at
    last = events[-1]
    delta = last.text_delta
    return Position(last.seq, delta.offset + len(delta.text.encode()))


def _batches(events: Sequence[Event]) -> Iterator[list[Event]]:
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
