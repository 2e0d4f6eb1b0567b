"""What there is more and more of, and the run that is measured beside it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from bench.growth.fill import Fill
from bench.growth.streams import Streams, open_streams
from bench.inside import Held, Inside, simple
from pentad.state.v1.run_pb2 import RunSpec

_SESSIONS_IN_TURN = 500
"""Few enough to be filled with a thousand messages each, and enough to stay near their length."""


class Stock(Protocol):
    """Something that a suite holds."""

    async def grow(self, size: int) -> Mapping[str, tuple[int, Held, Held]]:
        """Have so much of it; return of what was added how much, and what was held around that."""
        ...

    def spec(self) -> RunSpec:
        """Return the next run that is measured."""
        return simple()

    def check(self) -> None:
        """Raise NotHeld unless all of it is there still, as what is stored is."""


class EndedRuns(Stock):
    """Runs that have ended and are kept."""

    def __init__(self, suite: Inside, fill: Fill) -> None:
        self._suite = suite
        self._fill = fill
        self._size = 1

    async def grow(self, size: int) -> Mapping[str, tuple[int, Held, Held]]:
        """Record as many as are missing."""
        before = self._suite.held()
        await self._fill.ended_runs(self._size, size)
        added, self._size = size - self._size, size
        return {"ended run": (added, before, self._suite.held())}


class Sessions(Stock):
    """Conversations of one exchange each; a measured run begins one of its own."""

    def __init__(self, suite: Inside, fill: Fill) -> None:
        self._suite = suite
        self._fill = fill
        self._size = 0
        self._fresh = count()

    async def grow(self, size: int) -> Mapping[str, tuple[int, Held, Held]]:
        """Record as many as are missing."""
        before = self._suite.held()
        await self._fill.sessions_of([f"kept{n}" for n in range(self._size, size)], messages=2)
        added, self._size = size - self._size, size
        return {"session": (added, before, self._suite.held())}

    def spec(self) -> RunSpec:
        """Return a run that begins a session."""
        return simple(f"fresh{next(self._fresh)}")


class Messages(Stock):
    """Long conversations; a measured run continues one, and they take turns."""

    def __init__(self, suite: Inside, fill: Fill) -> None:
        self._suite = suite
        self._fill = fill
        self._names: Sequence[str] = ()
        self._turn = count()

    async def grow(self, size: int) -> Mapping[str, tuple[int, Held, Held]]:
        """Record new ones of this length, which are taken from now on."""
        before = self._suite.held()
        self._names = [f"long{size}-{n}" for n in range(_SESSIONS_IN_TURN)]
        await self._fill.sessions_of(self._names, messages=size)
        return {"message": (size * len(self._names), before, self._suite.held())}

    def spec(self) -> RunSpec:
        """Return a run that continues the next session."""
        return simple(self._names[next(self._turn) % len(self._names)])


class OpenStreams(Stock):
    """Clients that follow a run each, which waits for its start."""

    def __init__(self, suite: Inside, fill: Fill, streams: Streams) -> None:
        self._suite = suite
        self._fill = fill
        self._streams = streams
        self._size = 0

    async def grow(self, size: int) -> Mapping[str, tuple[int, Held, Held]]:
        """Record as many runs as are missing, and follow them."""
        before = self._suite.held()
        run_ids = await self._fill.waiting_runs(self._size, size)
        between = self._suite.held()
        await self._streams.follow(run_ids)
        after = self._suite.held()
        added, self._size = size - self._size, size
        return {"waiting run": (added, before, between), "open stream": (added, between, after)}

    def check(self) -> None:
        """Raise NotHeld if a stream has ended."""
        self._streams.check()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of stock, and how much of it there is to be."""

    title: str
    sizes: Sequence[int]
    open: Callable[[Inside, Fill], AbstractAsyncContextManager[Stock]]
    idle_s: float = 3.0
    """How long its idleness is looked at."""


def _plain(
    make: Callable[[Inside, Fill], Stock],
) -> Callable[..., AbstractAsyncContextManager[Stock]]:
    @asynccontextmanager
    async def opened(suite: Inside, fill: Fill) -> AsyncIterator[Stock]:
        yield make(suite, fill)

    return opened


@asynccontextmanager
async def _streaming(suite: Inside, fill: Fill) -> AsyncIterator[Stock]:
    async with open_streams(suite) as streams:
        yield OpenStreams(suite, fill, streams)


KINDS: Mapping[str, Kind] = {
    "runs": Kind("runs stored", (1, 1_000, 10_000, 100_000), _plain(EndedRuns)),
    "sessions": Kind("sessions stored", (1, 100, 10_000), _plain(Sessions)),
    "messages": Kind("messages of the session", (1, 100, 1_000), _plain(Messages)),
    # As long as the gateway takes to begin each of its own streams anew.
    "streams": Kind("open streams", (1, 100, 1_000, 10_000), _streaming, idle_s=20.0),
}
"""By their names on the command line."""
