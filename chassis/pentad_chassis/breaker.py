"""The circuit breaker of one peer: pybreaker as the state machine, fit for asyncio."""

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import pybreaker

from pentad_chassis.clock import Clock
from pentad_chassis.errors import CircuitOpen, DeadlineExceeded, ServiceError, Unavailable


class Outcome(Enum):
    """What a call says of its peer's health."""

    OK = auto()
    FAILED = auto()
    NEUTRAL = auto()


def outcome_of(error: BaseException) -> Outcome:
    """Judge the peer, not our request: an error that the peer itself sends shows a healthy peer.

    A model provider that is away must not cut off the executor that says so, nor a store that is
    silent all who wait for those that wait for it.
    """
    if not isinstance(error, ServiceError):
        return Outcome.NEUTRAL
    silent = error.unsaid and isinstance(error, Unavailable | DeadlineExceeded)
    return Outcome.FAILED if silent else Outcome.OK


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long."""

    failures: int = 5
    """Failures in a row that open it."""

    failure_rate: float = 0.5
    """Part of the calls in the window that open it when they fail."""

    window_s: int = 10
    """Length of the window."""

    calls_min: int = 20
    """Calls in the window below which the rate says nothing."""

    reset_s: float = 2.0
    """How long the peer is left alone before a probe."""


class Breaker:
    """Leaves a failing peer alone for a while, then lets probes through, one at a time.

    pybreaker's own calling styles do not fit asyncio: they admit every caller when half open and
    count a cancelled call as a failure. So use is split into `permit` before a call and `settle`
    after it, with no await inside. A result of an earlier generation says nothing about now.
    """

    def __init__(
        self,
        peer: str,
        clock: Clock,
        policy: BreakerPolicy | None = None,
        on_change: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._peer = peer
        self._clock = clock
        self._policy = policy or BreakerPolicy()
        self._on_change = on_change
        self._recent = _Recent(self._policy)
        self._opened_at = 0.0
        self._generation = 0
        self._state = pybreaker.STATE_CLOSED
        self._next_probe_at = 0.0
        """When half open; no earlier unless the probe before has ended."""
        self._machine = pybreaker.CircuitBreaker(
            fail_max=self._policy.failures,
            reset_timeout=self._policy.reset_s,
            throw_new_error_on_trip=False,
            name=peer,
        )

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return self._state

    @property
    def next_attempt_s(self) -> float:
        """How long until a call is let through; 0 when one is now."""
        if self._state == pybreaker.STATE_CLOSED:
            return 0.0
        return max(0.0, self._opened_at + self._policy.reset_s - self._clock.monotonic())

    def permit(self) -> int:
        """Return the generation to settle, or raise CircuitOpen with the time to the next probe."""
        if self._state == pybreaker.STATE_CLOSED:
            return self._generation
        now = self._clock.monotonic()
        left = self._opened_at + self._policy.reset_s - now
        if left > 0:
            raise CircuitOpen(self._peer, left)
        if self._state == pybreaker.STATE_OPEN:
            self._machine.half_open()
            self._entered()
        if now < self._next_probe_at:
            raise CircuitOpen(self._peer, self._next_probe_at - now)
        # A probe may be a long poll, of which a healthy peer says nothing for long: others follow.
        self._next_probe_at = now + self._policy.reset_s
        return self._generation

    def settle(self, generation: int, outcome: Outcome) -> None:
        """Record how a permitted call went."""
        if generation != self._generation:
            return
        self._next_probe_at = 0.0
        if outcome is Outcome.NEUTRAL:
            return
        second = int(self._clock.monotonic())
        self._recent.add(second, failed=outcome is Outcome.FAILED)
        if outcome is Outcome.FAILED:
            with contextlib.suppress(_PeerFailed, pybreaker.CircuitBreakerError):
                self._machine.call(_raise)
            if self._state == pybreaker.STATE_CLOSED and self._recent.too_many(second):
                self._machine.open()
        elif self._machine.fail_counter or self._state != pybreaker.STATE_CLOSED:
            self._machine.call(lambda: None)
        else:
            return  # by far the most frequent way
        if self._machine.current_state != self._state:
            self._entered()

    def _entered(self) -> None:
        """Begin a generation: what was permitted before the change is not to be counted."""
        self._state = str(self._machine.current_state)
        self._generation += 1
        self._next_probe_at = 0.0
        self._recent = _Recent(self._policy)
        if self._state == pybreaker.STATE_OPEN:
            self._opened_at = self._clock.monotonic()
        self._on_change(self.state)


class _Recent:
    """Counts calls by the second, over a window."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._seconds: deque[list[int]] = deque(maxlen=policy.window_s)
        """Second, calls, failures."""

    def add(self, second: int, *, failed: bool) -> None:
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        self._seconds[-1][1] += 1
        self._seconds[-1][2] += failed

    def too_many(self, second: int) -> bool:
        oldest = second - self._policy.window_s
        calls = sum(s[1] for s in self._seconds if s[0] > oldest)
        failures = sum(s[2] for s in self._seconds if s[0] > oldest)
        return calls >= self._policy.calls_min and failures >= calls * self._policy.failure_rate


class _PeerFailed(Exception):
    """Tells pybreaker of a failure."""


def _raise() -> None:
    raise _PeerFailed
