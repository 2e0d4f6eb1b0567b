"""Loops that must never end by themselves."""

import asyncio
from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger

_DEFECT_PAUSE_S = 1.0


async def forever(
    step: Callable[[], Awaitable[object]], *, what: str, log: FilteringBoundLogger
) -> None:
    """Repeat a step until cancelled.

    A process that looks well and takes no work is worse than any defect, so none ends the loop.
    """
    while True:
        try:
            await step()
        except Exception:
            log.exception("loop failed by a defect", loop=what)
            await asyncio.sleep(_DEFECT_PAUSE_S)
