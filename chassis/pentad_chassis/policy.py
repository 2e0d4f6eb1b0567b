"""Deadlines and retries of a hop: plain rules that need no network."""

from pentad_chassis.errors import (
    CircuitOpen,
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

TRIM_S = 0.05
"""Taken off on each hop, so that a callee that times out can still report it, as Boulder does; for
an event loop with some calls in hand 20 ms are not enough."""

_TRIM_PART = 0.1
"""Of a short deadline no more than this part is taken."""

FLOOR_S = 0.01
"""With less left than this a call is not begun: its answer would come too late."""


def trim(remaining: float) -> float:
    """Return what a server takes off its caller's time, to have an answer heard."""
    return min(TRIM_S, remaining * _TRIM_PART)


def call_timeout(given: float | None, remaining: float | None, default: float) -> float:
    """Return how long a call may take; DeadlineTooShort when it is not worth beginning."""
    timeout = given if given is not None else (default if remaining is None else remaining)
    if remaining is not None:
        timeout = min(timeout, remaining)
    if timeout < FLOOR_S:
        raise DeadlineTooShort(timeout)
    return timeout


class RetryBudget:
    """Bounds retries to about a tenth of recent calls, as gRFC A6 does.

    Retries that add to an overload are what keeps it going.
    """

    _MOST = 10.0
    _REFUND = 0.1

    def __init__(self) -> None:
        self._tokens = self._MOST

    @property
    def tokens(self) -> float:
        """What is left."""
        return self._tokens

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
