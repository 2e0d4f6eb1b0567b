"""The life of a suite in this process: start, say so, stop on a signal."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import uvloop

from pentad_allinone.layout import Layout
from pentad_allinone.supervisor import open_processes
from pentad_chassis.logs import hear_libraries
from pentad_chassis.telemetry import configured_telemetry, open_telemetry


def serve(layout: Layout, *, processes: bool, ready: Callable[[], None]) -> None:
    """Run the suite until SIGTERM or SIGINT; `ready` is called once it serves.

    Raises what a service raised that could not start or stay up.
    """
    try:
        uvloop.run(_live(_suite(layout, processes=processes), ready))
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _suite(layout: Layout, *, processes: bool) -> AbstractAsyncContextManager[None]:
    telemetry = open_telemetry("supervisor")
    hear_libraries(telemetry.log)
    if processes:
        return open_processes(layout, telemetry)
    # Imported where it is used: all five services come with it, and a supervisor runs none.
    from pentad_allinone.app import open_suite  # noqa: PLC0415

    return open_suite(layout, configured_telemetry)


async def _live(suite: AbstractAsyncContextManager[None], ready: Callable[[], None]) -> None:
    serving, stop = asyncio.Event(), asyncio.Event()

    async def life() -> None:
        async with suite:
            serving.set()
            ready()
            await stop.wait()

    task = asyncio.create_task(life())

    def end() -> None:
        stop.set()
        if not serving.is_set():
            task.cancel()  # what has started so far stops again

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure itself: one line is worth more than a tree of tracebacks."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
