"""Calls that are repeated while the suite is away, under a bound on all that waits."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pentad_chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable

_R = TypeVar("_R")

AGAIN = (Unavailable, ResourceExhausted, DeadlineExceeded)
"""What a client may repeat; nothing else is to be seen, whatever happens to the suite."""

CALL_S = 3.0
_PAUSE_S = (0.05, 0.6)
_PAUSE_S_MAX = 2.0


class Deadline:
    """A bound on everything that waits."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds left; 0 when it is over."""
        return max(0.0, self._at - time.monotonic())


async def persist(deadline: Deadline, call: Callable[[], Awaitable[_R]]) -> _R:
    """Return the answer to a call, or raise TimeoutError when there is none in time."""
    while True:
        try:
            return await call()
        except AGAIN as error:
            if not deadline.left_s:
                raise TimeoutError(error.reason) from error
            pause_s = max(error.retry_after_s or 0.0, random.uniform(*_PAUSE_S))  # noqa: S311
            await asyncio.sleep(min(pause_s, _PAUSE_S_MAX))
