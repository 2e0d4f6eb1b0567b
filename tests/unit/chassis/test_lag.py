import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pentad_chassis.lag import LoopLag


@asynccontextmanager
async def slow_turns(work_s: float) -> AsyncIterator[None]:
    """Make every turn of the loop take at least so long inside the block."""

    async def work() -> None:
        while True:
            time.sleep(work_s)  # noqa: ASYNC251 - a loop kept from its work is the point
            await asyncio.sleep(0)

    task = asyncio.create_task(work())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def asked(lag: LoopLag, turns: int) -> bool:
    """Ask once a turn, as callers that arrive all the time do; return the last answer."""
    behind = False
    for _ in range(turns):
        behind = lag.is_behind()
        await asyncio.sleep(0)
    return behind


async def test_a_loop_that_stays_slow_is_behind_and_one_that_recovers_is_not() -> None:
    lag = LoopLag(most_s=0.01)
    assert not await asked(lag, 5)

    async with slow_turns(0.02):
        assert await asked(lag, 15)

    assert not await asked(lag, 10)


async def test_a_loop_that_is_slow_for_a_moment_is_not_behind() -> None:
    lag = LoopLag(most_s=0.01)
    async with slow_turns(0.02):
        assert not await asked(lag, 2)


async def test_what_was_measured_long_ago_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lag = LoopLag(most_s=0.01)
    async with slow_turns(0.02):
        await asked(lag, 15)
        await asyncio.sleep(0.05)
    later = time.monotonic() + 3
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert not lag.is_behind()
