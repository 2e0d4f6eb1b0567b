"""Waits that end from outside, with an error: at their deadline, or when their server stops."""

import asyncio
import math
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from pentad_chassis.errors import ServiceError


def is_cancelled() -> bool:
    """Whether the current task was cancelled, and has not come to that yet.

    gRPC loses a cancellation that meets a call which has just failed, and it does not come again.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Waits:
    """Ends waits at their deadlines, with one timer for all of them.

    A timer for each call would cost more than all else that surrounds it.
    """

    def __init__(self, overdue: Callable[[], ServiceError]) -> None:
        self._overdue = overdue
        self._waits: set[Wait] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = math.inf

    def until(self, due: float | None) -> "Wait":
        """Return a block that the current task leaves at `due`, by the loop's clock, or before."""
        return Wait(self, math.inf if due is None else due)

    def begin(self, wait: "Wait") -> None:
        """Count a wait in; its own part."""
        self._waits.add(wait)
        if wait.due < self._timer_due:
            self._set_timer(wait.due)

    def end(self, wait: "Wait") -> None:
        """Count a wait out; its own part."""
        self._waits.discard(wait)

    def interrupt(self, error: Callable[[], ServiceError]) -> None:
        """Let every block be left with an error of its own."""
        for wait in tuple(self._waits):
            wait.interrupt(error())

    def close(self) -> None:
        """Let go of the timer, which may be set for long after the last wait has ended."""
        self._set_timer(math.inf)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = (
            None if due == math.inf else asyncio.get_running_loop().call_at(due, self._expire)
        )

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        for wait in [wait for wait in self._waits if wait.due <= now]:
            self._waits.discard(wait)
            wait.interrupt(self._overdue())
        # Nearly always the call that this was set for has ended long ago, and others go on.
        self._set_timer(min((wait.due for wait in self._waits), default=math.inf))


class Wait:
    """A block in which the current task may be interrupted with an error."""

    __slots__ = ("_error", "_task", "_waits", "due")

    def __init__(self, waits: Waits, due: float) -> None:
        self.due = due
        self._waits = waits
        self._task: asyncio.Task[Any] | None = None
        self._error: ServiceError | None = None

    def interrupt(self, error: ServiceError) -> None:
        """Let the block be left with `error`, unless it is being left already."""
        if self._error is None and self._task is not None:
            self._error = error
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._waits.begin(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._waits.end(self)
        if self._error is None or self._task is None:
            return
        # Of two who cancelled it, the other is to be obeyed (as asyncio.timeout does).
        others = self._task.uncancel()
        if isinstance(raised, asyncio.CancelledError) and not others:
            raise self._error from None
