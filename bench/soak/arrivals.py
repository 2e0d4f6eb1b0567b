"""Runs that begin at a steady rate, whether or not earlier ones have ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

_OUTSTANDING_MAX = 500
_TICK_S = 0.01


@dataclass(slots=True)
class Arrivals:
    """What came of the runs so far."""

    done: int = 0
    refused: int = 0
    not_begun: int = 0
    """For these the load generator had no room: too many had not ended."""


async def arrive(
    run: Callable[[], Awaitable[object]], rate: float, seconds: float, seen: Arrivals
) -> None:
    """Begin `rate` runs a second for `seconds`, and wait for the last to end."""
    begun = time.monotonic()
    outstanding = 0

    async def perform() -> None:
        nonlocal outstanding
        try:
            await run()
            seen.done += 1
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            seen.refused += 1
        finally:
            outstanding -= 1

    arrived = 0
    async with asyncio.TaskGroup() as tasks:
        while (now := time.monotonic() - begun) < seconds:
            while arrived < rate * now:
                arrived += 1
                if outstanding >= _OUTSTANDING_MAX:
                    seen.not_begun += 1
                    continue
                outstanding += 1
                tasks.create_task(perform())
            await asyncio.sleep(_TICK_S)
