import asyncio
import time

import pytest

from pentad_chassis.lag import LoopLag


async def turn_of_loop(work_s: float) -> None:
    """Let the loop turn once, with as much work in it."""
    asyncio.get_running_loop().call_soon(time.sleep, work_s)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_loop_that_stays_slow_is_behind_and_one_that_recovers_is_not() -> None:
    lag = LoopLag(most_s=0.01)
    assert not lag.is_behind()
    for _ in range(8):
        asyncio.get_running_loop().call_soon(time.sleep, 0.02)
        lag.is_behind()
        await turn_of_loop(0)
    assert lag.is_behind()

    await turn_of_loop(0)
    lag.is_behind()
    await turn_of_loop(0)
    assert not lag.is_behind()


async def test_a_loop_that_is_slow_once_is_not_behind() -> None:
    lag = LoopLag(most_s=0.01)
    asyncio.get_running_loop().call_soon(time.sleep, 0.05)
    lag.is_behind()
    await turn_of_loop(0)

    assert not lag.is_behind()


async def test_what_was_measured_long_ago_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lag = LoopLag(most_s=0.01)
    for _ in range(8):
        asyncio.get_running_loop().call_soon(time.sleep, 0.02)
        lag.is_behind()
        await turn_of_loop(0)
    later = time.monotonic() + 3
    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert not lag.is_behind()
