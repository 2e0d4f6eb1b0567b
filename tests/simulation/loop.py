"""An event loop whose time jumps to the next timer, and processes that die or sleep in it.

Everything that a process does happens in callbacks of its context. So a process that is killed is
one whose callbacks are not made any more: no `finally`, no goodbye. One that is stopped is one
whose callbacks are kept until it goes on, timers among them, as after SIGSTOP and SIGCONT.
"""

import asyncio
import gc
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any
from unittest.mock import patch

START_S = 1_000_000.0
"""Few digits, so that a float has many left behind the point."""


class Stuck(Exception):
    """Nothing will ever happen again."""


class Process:
    """One process of the simulated suite."""

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.name = name
        self.alive = True
        self.asleep = False
        self.leave: Callable[[], None] = lambda: None
        """Asks it to end in order."""
        self.tasks: set[asyncio.Task[Any]] = set()
        """Of a dead process they stay here: were they collected, they would clean up."""
        self.context = Context()
        self.context.run(_process.set, self)
        self._loop = loop
        self._held: deque[tuple[_Gated, tuple[Any, ...]]] = deque()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin something in the process."""
        return self._loop.create_task(work, context=self.context.copy())

    def kill(self) -> None:
        """End at once, in the midst of whatever it does."""
        self.alive = False

    def revive(self) -> None:
        """Go on after all: only so can its tasks be ended, once nothing depends on them."""
        self.alive = True
        self.wake()

    def sleep(self) -> None:
        """Do nothing until it wakes."""
        self.asleep = True

    def wake(self) -> None:
        """Go on, with all that became due meanwhile."""
        self.asleep = False
        while self._held and self.alive:
            gated, arguments = self._held.popleft()
            self._loop.call_soon(gated.again, *arguments, context=gated.context)

    def hold(self, gated: "_Gated", arguments: tuple[Any, ...]) -> None:
        """Keep a callback until the process wakes, if it ever does."""
        self._held.append((gated, arguments))


_process: ContextVar[Process | None] = ContextVar("process", default=None)


def current() -> Process:
    """Return the process whose code runs."""
    process = _process.get()
    assert process is not None, "this code belongs to a process"
    return process


def current_name() -> str:
    """Return the name of the process whose code runs, or that of everybody else."""
    process = _process.get()
    return "outside" if process is None else process.name


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is due; when nothing is, it is later."""

    def __init__(self) -> None:
        self._now_s = START_S
        super().__init__(_Idle(self))
        self.set_task_factory(_task)  # type: ignore[arg-type] # its type says nothing of contexts

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now_s += seconds

    def call_soon(  # type: ignore[override] # precise enough
        self, callback: Callable[..., Any], *arguments: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Make a callback next, if its process lives then."""
        context = copy_context() if context is None else context
        process = context.get(_process)
        if process is None:
            return super().call_soon(callback, *arguments, context=context)
        gated = _Gated(process, callback, context)
        gated.handle = super().call_soon(gated, *arguments, context=context)
        return gated.handle

    def call_at(  # type: ignore[override] # likewise
        self,
        when: float,
        callback: Callable[..., Any],
        *arguments: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Make a callback at a time, if its process lives then."""
        context = copy_context() if context is None else context
        process = context.get(_process)
        if process is None:
            return super().call_at(when, callback, *arguments, context=context)
        gated = _Gated(process, callback, context)
        handle = super().call_at(when, gated, *arguments, context=context)
        gated.handle = handle
        return handle

    def run_in_executor(  # type: ignore[override] # there are no threads here
        self, executor: object, function: Callable[..., Any], *arguments: Any
    ) -> asyncio.Future[Any]:
        """Call a function at once."""
        done = self.create_future()
        done.set_result(function(*arguments))
        return done


class _Gated:
    """A callback of a process."""

    __slots__ = ("callback", "context", "handle", "process")

    def __init__(self, process: Process, callback: Callable[..., Any], context: Context) -> None:
        self.process = process
        self.callback = callback
        self.context = context
        self.handle: asyncio.Handle | None = None

    def __call__(self, *arguments: Any) -> None:
        if self.process.asleep or not self.process.alive:
            self.process.hold(self, arguments)
        else:
            self.callback(*arguments)

    def again(self, *arguments: Any) -> None:
        """Make the callback unless it was taken back while its process slept."""
        if self.handle is None or not self.handle.cancelled():
            self.callback(*arguments)


class _Idle(selectors.SelectSelector):
    """Waits by letting virtual time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self._loop.jump(max(timeout, 0.0))
        return []


class _Task(asyncio.Task[Any]):
    """Sets of tasks have the same order each time."""

    count = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        _Task.count += 1
        self._number = _Task.count
        super().__init__(*arguments, **named)

    def __hash__(self) -> int:
        return self._number


def _task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any],
    context: Context | None = None,
) -> asyncio.Task[Any]:
    """Make a task of the process that asks for it, also in a context that it made anew."""
    creator = _process.get()
    if context is None:
        context = copy_context()
    elif creator is not None and context.get(_process) is None:
        context.run(_process.set, creator)
    task = _Task(work, loop=loop, context=context)
    owner = context.get(_process)
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard, context=context)
    return task


@contextmanager
def virtual(seed: int) -> Iterator[VirtualLoop]:
    """Have a loop; inside the block all clocks show its time, and chance follows the seed."""
    loop = VirtualLoop()
    chance, collecting = random.getstate(), gc.isenabled()
    random.seed(seed)
    _Task.count = 0
    gc.disable()  # a third of the time; and what is collected may clean up, whenever that is
    try:
        with (
            patch("time.time", loop.time),
            patch("time.monotonic", loop.time),
            patch("time.time_ns", lambda: int(loop.time() * 1e9)),
        ):
            yield loop
    finally:
        random.setstate(chance)
        loop.close()
        if collecting:
            gc.enable()
