"""How often a service that dies is started again."""

from collections import deque

from pentad_chassis.clock import Clock

_BACKOFF_S = 0.1
_BACKOFF_MAX_S = 5.0


class Restarts:
    """Allows a bounded number of restarts in a window of time, each later than the one before."""

    def __init__(self, clock: Clock, most: int = 5, window_s: float = 60.0) -> None:
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._times: deque[float] = deque()

    def next_delay_s(self) -> float | None:
        """Return how long to wait before the next start; None when there were too many."""
        now = self._clock.monotonic()
        while self._times and now - self._times[0] >= self._window_s:
            self._times.popleft()
        if len(self._times) >= self._most:
            return None
        delay = min(_BACKOFF_MAX_S, _BACKOFF_S * 2.0 ** len(self._times))
        self._times.append(now)
        return delay
