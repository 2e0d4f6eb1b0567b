"""Breaker, retry budget and deadlines of a hop: plain objects that need no network."""

import contextlib
from enum import Enum, auto

import pybreaker

from pentad_chassis.clock import Clock
from pentad_chassis.errors import (
    CircuitOpen,
    Code,
    DeadlineTooShort,
    ServiceError,
    Unavailable,
)

ATTEMPTS = 3
"""Tries of one call; beyond three, a call that fails is better reported (Google's SRE book)."""

BACKOFF_S = 0.05
BACKOFF_MAX_S = 1.0

DEFAULT_TIMEOUT_S = 10.0
"""For a call with neither a timeout of its own nor one to inherit."""

DEFAULT_STREAM_TIMEOUT_S = 900.0

TRIM_S = 0.02
"""Taken off on each hop, so that a callee that times out can still report it (Boulder)."""

FLOOR_S = 0.01
"""With less left than this a call is not begun: its answer would come too late."""


def call_timeout(given: float | None, remaining: float | None, default: float) -> float:
    """Return how long a call may take; DeadlineTooShort when it is not worth beginning."""
    timeout = given if given is not None else (default if remaining is None else remaining)
    if remaining is not None:
        timeout = min(timeout, remaining)
    if timeout < FLOOR_S:
        raise DeadlineTooShort(timeout)
    return timeout


class Outcome(Enum):
    """What a call says of its peer's health."""

    OK = auto()
    FAILED = auto()
    NEUTRAL = auto()


def outcome_of(error: BaseException) -> Outcome:
    """Judge the peer, not our request: an error with a reason of its own shows a healthy peer."""
    if not isinstance(error, ServiceError):
        return Outcome.NEUTRAL
    if error.code in {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}:
        return Outcome.FAILED
    return Outcome.OK


class Breaker:
    """Leaves a peer alone for `reset_s` after `failures` in a row, then lets one probe through.

    pybreaker keeps the state; its own calling styles do not fit asyncio (they admit every caller
    when half open and count a cancelled call as a failure), so use is split into `permit` before
    a call and `settle` after it. A result of an earlier generation says nothing about now.
    """

    def __init__(self, peer: str, clock: Clock, *, failures: int = 5, reset_s: float = 2.0) -> None:
        self._peer = peer
        self._clock = clock
        self._reset_s = reset_s
        self._opened_at = 0.0
        self._generation = 0
        self._probing = False
        self._machine = pybreaker.CircuitBreaker(
            fail_max=failures, reset_timeout=reset_s, throw_new_error_on_trip=False, name=peer
        )

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return str(self._machine.current_state)

    def permit(self) -> int:
        """Return the generation to settle, or raise CircuitOpen."""
        state = self._machine.current_state
        if state == pybreaker.STATE_CLOSED:
            return self._generation
        left = self._opened_at + self._reset_s - self._clock.monotonic()
        if left > 0:
            raise CircuitOpen(self._peer, left)
        if state == pybreaker.STATE_OPEN:
            self._machine.half_open()
            self._generation += 1
            self._probing = False
        if self._probing:
            raise CircuitOpen(self._peer, self._reset_s)
        self._probing = True
        return self._generation

    def settle(self, generation: int, outcome: Outcome) -> None:
        """Record how a permitted call went."""
        if generation != self._generation:
            return
        self._probing = False
        if outcome is Outcome.OK and (
            self._machine.fail_counter or self._machine.current_state != pybreaker.STATE_CLOSED
        ):
            self._machine.call(lambda: None)
        elif outcome is Outcome.FAILED:
            self._fail()

    def _fail(self) -> None:
        with contextlib.suppress(_PeerFailed, pybreaker.CircuitBreakerError):
            self._machine.call(_raise)
        if self._machine.current_state == pybreaker.STATE_OPEN:
            self._generation += 1
            self._opened_at = self._clock.monotonic()


class _PeerFailed(Exception):
    """Tells pybreaker of a failure."""


def _raise() -> None:
    raise _PeerFailed


class RetryBudget:
    """Bounds retries to about a tenth of recent calls, as gRFC A6 does.

    Retries that add to an overload are what keeps it going.
    """

    _MOST = 10.0
    _REFUND = 0.1

    def __init__(self) -> None:
        self._tokens = self._MOST

    def succeeded(self) -> None:
        """Earn a part of a retry."""
        self._tokens = min(self._MOST, self._tokens + self._REFUND)

    def failed(self) -> None:
        """Pay for a failure."""
        self._tokens = max(0.0, self._tokens - 1)

    def allows(self) -> bool:
        """Whether a retry may be made now."""
        return self._tokens > self._MOST / 2


def may_retry(error: ServiceError) -> bool:
    """Whether trying again can help: nothing but UNAVAILABLE, at the layer nearest to the fault."""
    return (
        isinstance(error, Unavailable)
        and not isinstance(error, CircuitOpen)
        and error.reason != CircuitOpen.reason
        and not error.retried
    )
