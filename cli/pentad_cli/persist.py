"""Calls that outlast a restart of the suite."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pentad_chassis.errors import ResourceExhausted, ServiceError, Unavailable

Answer = TypeVar("Answer")

PATIENCE_S = 60.0
"""Enough for a restart of the suite, and for the lease of an owner that died with it."""

_PAUSE_S = (0.05, 0.5)
"""Different for each caller, so that those who were refused together do not come back together."""


async def persist(call: Callable[[], Awaitable[Answer]], *, known: bool = True) -> Answer:
    """Make a call until it is answered, or raise what it ends with when patience is over.

    For calls that may be repeated: those that read, and those that carry a `request_id`. A suite
    that is not `known` to be there is not waited for.
    """
    over_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await call()
        except ServiceError as error:
            nobody = error.reason == Unavailable.reason and not known
            pause_s = pause_after(error)
            if not may_pass(error) or nobody or time.monotonic() + pause_s > over_at:
                raise
        await asyncio.sleep(pause_s)
        known = True


def may_pass(error: ServiceError) -> bool:
    """Whether the same call may succeed a moment later."""
    if isinstance(error, ResourceExhausted):
        return error.retry_after_s is not None  # else there is too much of something in the call
    return isinstance(error, Unavailable)


def pause_after(error: ServiceError) -> float:
    """Return how long to leave the suite alone: as long as it asks for, and never no time."""
    return max(error.retry_after_s or 0.0, random.uniform(*_PAUSE_S))  # noqa: S311 - no secret
