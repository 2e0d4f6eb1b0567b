"""The call being served: who makes it and how long it may take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a public call, as its credential proves."""

    tenant: str
    key_name: str


_caller: ContextVar[Caller] = ContextVar("caller")
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_is_stopping: ContextVar[Callable[[], bool]] = ContextVar("is_stopping", default=lambda: False)
_unrepeated: ContextVar[bool] = ContextVar("unrepeated", default=False)


def caller() -> Caller:
    """Return who makes the call being served; LookupError where calls are not authenticated."""
    return _caller.get()


def tenant() -> str:
    """Return whose call is served, where that is known."""
    who = _caller.get(None)
    return who.tenant if who else ""


def remaining_s() -> float | None:
    """Return the time left of the call being served; None outside of one or without a deadline."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def stop_signal() -> Callable[[], bool]:
    """Return what tells, also later, whether the server of the call being served is stopping.

    A call that is cancelled while it is not was left by its caller.
    """
    return _is_stopping.get()


@contextmanager
def unrepeated() -> Iterator[None]:
    """Make each call inside the block once at most, whatever its proto says of repeating it."""
    token = _unrepeated.set(True)
    try:
        yield
    finally:
        _unrepeated.reset(token)


def is_unrepeated() -> bool:
    """Whether a call made now is to be made once at most."""
    return _unrepeated.get()


def begin(remaining: float | None) -> None:
    """Make the current task that of a call with `remaining` seconds; the server's part."""
    _deadline.set(None if remaining is None else time.monotonic() + remaining)


def identify(who: Caller) -> None:
    """Make `who` the caller of the call being served; the server's part."""
    _caller.set(who)


def serve(is_stopping: Callable[[], bool]) -> None:
    """Make the current task that of a call of a server that may stop; the server's part."""
    _is_stopping.set(is_stopping)
