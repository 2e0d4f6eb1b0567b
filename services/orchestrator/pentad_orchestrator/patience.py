"""Calls to peers that may be away for a while: repeated until they answer or nobody waits."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from pentad_chassis.errors import (
    Cancelled,
    DeadlineExceeded,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)

_Answer = TypeVar("_Answer")

_DOUBLINGS_MAX = 16


def is_away(error: ServiceError) -> bool:
    """Whether the peer did not take the request, or did not say what became of it."""
    return isinstance(error, Unavailable | ResourceExhausted | DeadlineExceeded | Cancelled)


class Patience:
    """Repeats calls with exponential pauses and full jitter.

    It has no bound of its own: whoever calls is cancelled when the run's deadline or lease ends.
    """

    def __init__(
        self,
        first_s: float,
        most_s: float,
        log: FilteringBoundLogger,
        *,
        draw: Callable[[float, float], float] = random.uniform,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._log = log
        self._draw = draw
        self._sleep = sleep

    async def until_answered(
        self,
        call: Callable[[], Awaitable[_Answer]],
        *,
        what: str,
        repeat_after: Callable[[ServiceError], bool] = is_away,
    ) -> _Answer:
        """Return the answer, or raise the first error that another try would not mend."""
        for failures in count():
            try:
                answer = await call()
            except ServiceError as error:
                if not repeat_after(error):
                    raise
                if failures == 0:
                    self._log.warning("peer away", call=what, reason=error.reason)
                await self._sleep(self.pause_s(failures, error))
            else:
                if failures:
                    self._log.info("peer back", call=what, failures=failures)
                return answer
        raise AssertionError("count() has no end")

    def pause_s(self, failures: int, error: ServiceError) -> float:
        """Return how long to wait after `failures` before and this error; it may ask for more."""
        longest = min(self._most_s, self._first_s * 2.0 ** min(failures, _DOUBLINGS_MAX))
        return max(error.retry_after_s or 0.0, self._draw(0.0, longest))
