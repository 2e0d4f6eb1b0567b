"""Who follows which run here, and what they are told of it without asking the store.

What this process has recorded itself it hands on at once. Of all else there are announcements,
which may be lost: who follows a run also looks into the store, by itself, now and then.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pentad.state.v1.event_pb2 import Event
from pentad_state.cursor import BEGINNING, Position

LOOK_S = 3.0
"""Who follows a run looks for itself after this long: an announcement may have been lost."""

_SLICES = 10
"""All look within that time, and not at once."""

_HELD_BYTES = 64 * 1024
"""Held for one who is slow; beyond that the store has to be asked."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What a run has gained behind a place."""

    start: Position
    events: Sequence[Event]
    end: Position
    closes: bool = False
    """The run has ended with it."""
    more: bool = False
    """The store holds more already."""


class Watch:
    """One who follows a run."""

    def __init__(self, *, follows: bool) -> None:
        self._follows = follows
        self._woken = asyncio.Event()
        self._grown: deque[Growth] = deque()
        self._bytes = 0
        self._announced = BEGINNING
        self._is_to_look = True
        self._held = 0
        self.is_up_to_date = True
        """It has heard of the run lately."""

    def take(self, at: Position) -> Growth | None:
        """Return what is known to have come right behind a place, if anything is."""
        while self._grown:
            growth = self._grown.popleft()
            self._bytes -= _size(growth)
            if growth.start == at:
                self.is_up_to_date = True
                return growth
            if growth.end > at:
                self.look()
        return None

    def begin_look(self, at: Position) -> bool:
        """Whether the store is to be asked for what stands behind a place; it is, then."""
        if not self._is_to_look and self._announced <= at:
            return False
        self._woken.clear()
        self._grown.clear()
        self._bytes = 0
        self._announced = BEGINNING
        self._is_to_look = False
        self.is_up_to_date = True
        return True

    async def wait(self) -> None:
        """Wait until there may be something new."""
        await self._woken.wait()
        self._woken.clear()

    def look(self) -> None:
        """Have the store asked, whatever is known."""
        self._is_to_look = True
        self._woken.set()

    def announce(self, end: Position, *, closes: bool) -> None:
        """Take note of how far the run has come."""
        if self._follows or closes:
            self._announced = max(self._announced, end)
            if not self._held:
                self._woken.set()

    def hold(self) -> None:
        """Do not act on announcements: what they tell of may be about to be handed on."""
        self._held += 1

    def release(self) -> None:
        """Act on them again."""
        self._held -= 1
        if self._announced > BEGINNING:
            self._woken.set()

    def grow(self, growth: Growth) -> None:
        """Take what has been recorded; who only waits for the end has to know of that alone."""
        if not self._follows:
            if growth.closes:
                self.look()
            return
        self._bytes += _size(growth)
        if self._bytes > _HELD_BYTES:
            self._grown.clear()
            self._bytes = 0
            self.look()
        else:
            self._grown.append(growth)
            self._woken.set()


class Watchers:
    """All who follow runs in this process."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._some = asyncio.Event()
        self.count = 0
        """How many there are."""

    def heard(self, message: bytes) -> None:
        """Tell those who follow the run that an announcement names how far it has come."""
        run_id, _, place = message.decode(errors="replace").partition(" ")
        watches = self._watches.get(run_id)
        if not watches:
            return
        try:
            seq, offset, closes = map(int, place.split())
        except ValueError:  # of another version
            for watch in watches:
                watch.look()
        else:
            for watch in watches:
                watch.announce(Position(seq, offset), closes=bool(closes))

    def missed(self) -> None:
        """Have everybody look."""
        for watches in self._watches.values():
            for watch in watches:
                watch.look()

    @contextmanager
    def recording(self, run_id: str) -> Iterator[Callable[[Growth], None]]:
        """Let what the block records of a run, and calls the returned function with, be handed on.

        Its announcement may arrive before that; nobody looks into the store for it.
        """
        watches = tuple(self._watches.get(run_id, ()))
        for watch in watches:
            watch.hold()

        def grew(growth: Growth) -> None:
            for watch in watches:
                watch.grow(growth)

        try:
            yield grew
        finally:
            for watch in watches:
                watch.release()

    @contextmanager
    def watch(self, run_id: str, *, follows: bool = True) -> Iterator[Watch]:
        """Follow a run, or wait for its end, inside the block."""
        watch = Watch(follows=follows)
        self._watches.setdefault(run_id, set()).add(watch)
        self.count += 1
        self._some.set()
        try:
            yield watch
        finally:
            self.count -= 1
            self._watches[run_id].discard(watch)
            if not self._watches[run_id]:
                del self._watches[run_id]

    async def serve(self) -> None:
        """Have everybody look in time, until cancelled; with nobody there nothing happens."""
        while True:
            if not self.count:
                self._some.clear()
                await self._some.wait()
            watches = [watch for each in self._watches.values() for watch in each]
            slices = min(_SLICES, len(watches)) or 1
            for part in range(slices):
                for watch in watches[part::slices]:
                    if not watch.is_up_to_date:
                        watch.look()
                    watch.is_up_to_date = False
                await asyncio.sleep(LOOK_S / 2 / slices)


def _size(growth: Growth) -> int:
    return sum(event.ByteSize() for event in growth.events)
