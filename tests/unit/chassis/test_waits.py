"""Waits that are ended from outside."""

import asyncio
import weakref

import pytest

from pentad_chassis.errors import DeadlineExceeded, Unavailable
from pentad_chassis.waits import Wait, Waits


def overdue() -> DeadlineExceeded:
    return DeadlineExceeded("out of time")


def at(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def never() -> None:
    await asyncio.Event().wait()


async def waiting(waits: Waits, due: float | None) -> None:
    with waits.until(due):
        await never()


async def test_a_wait_ends_at_its_deadline() -> None:
    with pytest.raises(DeadlineExceeded, match="out of time"):
        await waiting(Waits(overdue), at(0.01))


async def test_each_wait_ends_at_its_own_whatever_the_order() -> None:
    waits, ended = Waits(overdue), []

    async def one(seconds: float) -> None:
        with pytest.raises(DeadlineExceeded):
            await waiting(waits, at(seconds))
        ended.append(seconds)

    async with asyncio.timeout(5):
        await asyncio.gather(*(one(seconds) for seconds in (0.03, 0.01, 0.05, 0.02)))

    assert ended == [0.01, 0.02, 0.03, 0.05]


async def test_a_later_wait_is_ended_after_an_earlier_one_has_ended_by_itself() -> None:
    waits = Waits(overdue)
    with waits.until(at(0.01)):
        pass

    async with asyncio.timeout(5):
        with pytest.raises(DeadlineExceeded):
            await waiting(waits, at(0.02))


async def test_a_wait_without_a_deadline_goes_on_until_it_is_interrupted() -> None:
    waits, block = Waits(overdue), asyncio.Future[Wait]()

    async def one() -> None:
        with waits.until(None) as wait:
            block.set_result(wait)
            await never()

    task = asyncio.create_task(one())
    (await block).interrupt(Unavailable("stopping"))

    with pytest.raises(Unavailable, match="stopping"):
        await task


async def test_a_cancellation_by_another_is_not_mistaken_for_the_deadline() -> None:
    task = asyncio.create_task(waiting(Waits(overdue), at(60)))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_and_interrupted_at_once_is_cancelled() -> None:
    waits, block = Waits(overdue), asyncio.Future[Wait]()

    async def one() -> None:
        with waits.until(None) as wait:
            block.set_result(wait)
            await never()

    task = asyncio.create_task(one())
    wait = await block
    task.cancel()
    wait.interrupt(Unavailable("stopping"))

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_goes_on_after_a_wait_that_was_interrupted() -> None:
    waits = Waits(overdue)

    async def one() -> str:
        with pytest.raises(DeadlineExceeded):
            await waiting(waits, at(0.001))
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return "done"

    assert await asyncio.create_task(one()) == "done"


async def test_who_is_done_with_its_waits_leaves_no_timer_behind() -> None:
    waits = Waits(overdue)
    with waits.until(at(3600)):
        pass
    waits.close()
    left = weakref.ref(waits)
    del waits

    assert left() is None
