"""The call being served: who makes it and how long it may take."""

import time
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a public call, as its credential proves."""

    tenant: str
    key_name: str


_caller: ContextVar[Caller] = ContextVar("caller")
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def caller() -> Caller:
    """Return who makes the call being served; LookupError where calls are not authenticated."""
    return _caller.get()


def remaining_s() -> float | None:
    """Return the time left of the call being served; None outside of one or without a deadline."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def begin(remaining: float | None) -> None:
    """Make the current task that of a call with `remaining` seconds; the server's part."""
    _deadline.set(None if remaining is None else time.monotonic() + remaining)


def identify(who: Caller) -> None:
    """Make `who` the caller of the call being served; the server's part."""
    _caller.set(who)
