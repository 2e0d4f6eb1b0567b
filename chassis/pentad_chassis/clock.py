"""Time and ids as arguments, so that tests can own them."""

import secrets
import time
from typing import Protocol


class Clock(Protocol):
    """The time a process sees; durable decisions use the store's time instead."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary start."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += seconds


def random_id() -> str:
    """Return 26 characters of base 32: 128 bits that nobody can guess."""
    number = secrets.randbits(130)
    return "".join("0123456789abcdefghjkmnpqrstvwxyz"[(number >> 5 * i) & 31] for i in range(26))
