"""Which tenants no budget bounds, as the state service said a moment ago.

Asking before every call would put a round trip in front of a model's first token for nothing. For
as long as it is remembered here, the state service keeps a new budget from taking effect.
"""

from google.protobuf.duration_pb2 import Duration

from pentad_chassis.clock import Clock

_TENANTS_MAX = 10_000


class Unbounded:
    """Remembers tenants for as long as it is told to."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s: dict[str, float] = {}

    def now(self) -> float:
        """Return this process's time, to be noted before the state service is asked."""
        return self._clock.monotonic()

    def learn(self, tenant: str, asked_at_s: float, lasts: Duration) -> None:
        """Take what was said to a question asked at that time; nothing where it lasts no time."""
        if len(self._until_s) >= _TENANTS_MAX:
            self._until_s.clear()
        until_s = asked_at_s + lasts.ToMilliseconds() / 1000
        if until_s > self.now():
            self._until_s[tenant] = until_s

    def covers(self, tenant: str) -> bool:
        """Whether no budget that is recorded bounds the tenant now."""
        until_s = self._until_s.get(tenant)
        if until_s is None:
            return False
        if until_s <= self.now():
            del self._until_s[tenant]
            return False
        return True
