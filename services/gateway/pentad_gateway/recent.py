"""A small memory of what was looked up a moment ago."""

from collections import OrderedDict
from typing import Generic, TypeVar

from pentad_chassis.clock import Clock

V = TypeVar("V")


class Recent(Generic[V]):
    """Holds each value for `hold_s` seconds, and at most `most` of them: the newest."""

    def __init__(self, clock: Clock, hold_s: float, most: int) -> None:
        self._clock = clock
        self._hold_s = hold_s
        self._most = most
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def get(self, key: str) -> V | None:
        """Return the value put under `key`, unless it is too old."""
        until, value = self._values.get(key, (0.0, None))
        return value if self._clock.monotonic() < until else None

    def put(self, key: str, value: V) -> None:
        """Hold `value`, and let go of the oldest one when there is no room."""
        self._values.pop(key, None)
        self._values[key] = (self._clock.monotonic() + self._hold_s, value)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
