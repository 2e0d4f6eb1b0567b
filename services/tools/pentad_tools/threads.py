"""Threads for synchronous tools."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pentad_chassis.health import Condition, fullness

_R = TypeVar("_R")


class Threads:
    """At most `limit` functions at once, each in a thread of its own.

    The threads are daemons: a function that hangs cannot be killed, and must not keep the
    process from ending, as the threads of an executor would.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._busy = 0
        self._room = asyncio.Semaphore(limit)

    def condition(self) -> Condition:
        """Return how full they are; a function that hangs holds its thread for good."""
        return fullness(self._busy, self._limit, "threads of tools")

    async def start(self, function: Callable[[], _R]) -> asyncio.Future[_R]:
        """Wait for room, start `function` with the caller's context variables, return its end.

        The room is given back when the function ends, however late, and not when its caller
        stops waiting. `function` must not raise.
        """
        await self._room.acquire()
        self._busy += 1
        loop = asyncio.get_running_loop()
        end: asyncio.Future[_R] = loop.create_future()
        context = contextvars.copy_context()

        def settle(value: _R) -> None:
            self._busy -= 1
            self._room.release()
            if not end.done():
                end.set_result(value)

        def work() -> None:
            value = context.run(function)
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                loop.call_soon_threadsafe(settle, value)

        threading.Thread(target=work, daemon=True, name="pentad-tool").start()
        return end
