import asyncio
import io

import pytest

from pentad_chassis import calls
from pentad_chassis.errors import Unavailable
from pentad_chassis.telemetry import open_telemetry, silent_telemetry
from pentad_tools.tasks import open_tasks


async def test_work_is_finished_when_its_caller_leaves() -> None:
    started, release, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        await release.wait()
        finished.set()

    async with open_tasks(silent_telemetry("tools"), 5) as tasks:
        caller = asyncio.create_task(tasks.finish(work()))
        await started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        release.set()

    assert finished.is_set()


async def test_the_caller_gets_value_or_error() -> None:
    async def value() -> int:
        return 3

    async def error() -> int:
        raise Unavailable("away")

    async with open_tasks(silent_telemetry("tools"), 5) as tasks:
        assert await tasks.finish(value()) == 3
        with pytest.raises(Unavailable):
            await tasks.finish(error())


async def test_the_callers_deadline_does_not_bind_the_work() -> None:
    async def left() -> float | None:
        return calls.remaining_s()

    calls.begin(0.0)
    async with open_tasks(silent_telemetry("tools"), 5) as tasks:
        assert await tasks.finish(left()) is None
    assert calls.remaining_s() is not None


async def test_a_stop_has_a_bound() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with open_tasks(silent_telemetry("tools"), 0.01) as tasks:
        caller = asyncio.create_task(tasks.finish(endless()))
        tasks.watch(endless())
        await started.wait()

    assert stopped.is_set()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_failure_that_nobody_waits_for_is_logged_once() -> None:
    log = io.StringIO()
    started, release = asyncio.Event(), asyncio.Event()

    async def failing() -> None:
        started.set()
        await release.wait()
        raise Unavailable("away")

    async with open_tasks(open_telemetry("tools", stream=log), 5) as tasks:
        caller = asyncio.create_task(tasks.finish(failing()))
        await started.wait()
        caller.cancel()
        release.set()

    assert log.getvalue().count("a call without a caller failed") == 1


async def test_work_that_is_cancelled_before_it_begins_leaves_nothing_behind() -> None:
    """A coroutine that nobody awaits would be told of as a defect."""

    async def work() -> None:
        raise AssertionError

    async with open_tasks(silent_telemetry("tools"), 5) as tasks:
        tasks.watch(work()).cancel()
        await asyncio.sleep(0)
