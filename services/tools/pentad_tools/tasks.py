"""Work that goes on when the caller of the call that began it leaves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pentad_chassis import calls
from pentad_chassis.errors import ServiceError
from pentad_chassis.telemetry import Telemetry

_R = TypeVar("_R")


class Tasks:
    """Owns tasks; `open_tasks` ends them all."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._finishing: set[asyncio.Task[None]] = set()
        self._watching: set[asyncio.Task[None]] = set()

    async def finish(self, work: Coroutine[Any, Any, _R]) -> _R:
        """Return what `work` returns; if the caller leaves, the work is finished all the same."""
        end: asyncio.Future[_R] = asyncio.get_running_loop().create_future()
        self._start(self._deliver(work, end), work, self._finishing)
        return await end

    def watch(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work that ends by itself, is cancelled by its owner, or ends with the service."""
        return self._start(self._logged(work), work, self._watching)

    async def close(self, grace_s: float) -> None:
        """Let what is to be finished finish, for `grace_s` seconds; then end everything."""
        if self._finishing:
            await asyncio.wait(self._finishing, timeout=grace_s)
        if self._finishing:
            self._telemetry.log.warning("calls cut off by the stop", calls=len(self._finishing))
        left = self._finishing | self._watching
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _start(
        self,
        wrapped: Coroutine[Any, Any, None],
        work: Coroutine[Any, Any, Any],
        among: set[asyncio.Task[None]],
    ) -> asyncio.Task[None]:
        async def unhurried() -> None:
            # The deadline is the caller's; what outlives the caller must not be bound by it.
            calls.begin(None)
            await wrapped

        def ended(task: asyncio.Task[None]) -> None:
            among.discard(task)
            # A task that is cancelled before its first step never gets to what it was to await.
            wrapped.close()
            work.close()

        task = asyncio.create_task(unhurried())
        among.add(task)
        task.add_done_callback(ended)
        return task

    async def _deliver(self, work: Coroutine[Any, Any, _R], end: asyncio.Future[_R]) -> None:
        try:
            value = await work
        except asyncio.CancelledError:
            end.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - the caller gets it, whatever it is
            if not end.done():
                end.set_exception(error)
                return
            self._log(error)
        else:
            if not end.done():
                end.set_result(value)

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - nobody above could tell it any better
            self._log(error)

    def _log(self, error: Exception) -> None:
        if isinstance(error, ServiceError):
            self._telemetry.log.warning("a call without a caller failed", reason=error.reason)
        else:
            self._telemetry.log.error("a call without a caller failed", exc_info=error)


@asynccontextmanager
async def open_tasks(telemetry: Telemetry, grace_s: float) -> AsyncIterator[Tasks]:
    """Own tasks while the block runs; leaving it ends them."""
    tasks = Tasks(telemetry)
    try:
        yield tasks
    finally:
        await tasks.close(grace_s)
