"""A gate for calls that begin new work: few at a time pass, and none is let to wait for long."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Lets `width` calls through at once; the others stand in line.

    Whatever a process is short of, what it has begun goes on beside the few that pass, so that work
    begins as fast as work is finished. When the line does not move for a while, more is asked for
    than can be done, and whoever comes now had better hear so at once.
    """

    def __init__(self, width: int, patience_s: float) -> None:
        self._free = width
        self._patience_s = patience_s
        self._line: deque[tuple[float, asyncio.Future[None]]] = deque()

    @property
    def is_jammed(self) -> bool:
        """Whether the first in line has waited too long."""
        while self._line and self._line[0][1].done():
            self._line.popleft()
        return bool(self._line) and time.monotonic() - self._line[0][0] > self._patience_s

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it inside the block."""
        if self._free:
            self._free -= 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._let_next()

    async def _wait(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._line.append((time.monotonic(), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._let_next()  # it was given a place, and leaves all the same
            raise

    def _let_next(self) -> None:
        while self._line:
            _, place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
