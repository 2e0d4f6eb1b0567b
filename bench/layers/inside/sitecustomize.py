"""Has a process note its stack every few milliseconds of processor time, when it is told to.

Python imports this by itself when the folder is on PYTHONPATH, which only `bench.layers` sets; and
nothing happens unless `BENCH_STACKS` names a folder. SIGUSR1 begins; SIGUSR2 ends, and leaves what
was noted in the file that is named after the process.

The timer goes by the processor time of the thread that runs the event loop, so that threads of
gRPC's own do not count. faulthandler would note the very moment of the signal, but reads frames
that are being made, and kills the process now and then. A handler in Python runs at the next place
where the interpreter looks for signals. At the entry of a function that is before anything of it
was done, so that its caller is noted; behind a call it is the one who called. What the event loop
does before it goes on with a coroutine is, in part, put down to that coroutine.
"""

import ctypes
import dis
import os
import signal
import sys
from types import FrameType

_CLOCK_THREAD_CPUTIME_ID = 3
_PERIOD_NS = 4_000_000
_RESUME = dis.opmap.get("RESUME")


class _Interval(ctypes.Structure):
    """The `itimerspec` of timer_settime(2): how often, and when first."""

    _fields_ = tuple(
        (name, ctypes.c_long) for name in ("often_s", "often_ns", "first_s", "first_ns")
    )


class _Sampler:
    """Notes stacks of the main thread."""

    def __init__(self, folder: str) -> None:
        self._file = f"{folder}/{os.getpid()}"
        self._stacks: list[list[tuple[str, int, str]]] = []
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = ctypes.c_void_p()

    def begin(self, _signal: int, _frame: FrameType | None) -> None:
        # With no other wish a timer gives SIGALRM.
        self._libc.timer_create(_CLOCK_THREAD_CPUTIME_ID, None, ctypes.byref(self._timer))
        interval = _Interval(0, _PERIOD_NS, 0, _PERIOD_NS)
        self._libc.timer_settime(self._timer, 0, ctypes.byref(interval), None)

    def note(self, _signal: int, frame: FrameType | None) -> None:
        if frame and frame.f_code.co_code[frame.f_lasti] == _RESUME and frame.f_back:
            frame = frame.f_back
        stack = []
        while frame:
            stack.append((frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name))
            frame = frame.f_back
        self._stacks.append(stack)

    def end(self, _signal: int, _frame: FrameType | None) -> None:
        self._libc.timer_delete(self._timer)
        lines = ["|".join(f"{p}:{n}:{f}" for p, n, f in stack) + "\n" for stack in self._stacks]
        self._stacks.clear()
        with open(f"{self._file}.new", "w", encoding="utf-8") as file:  # noqa: PTH123 - so early
            file.writelines(lines)
        os.rename(f"{self._file}.new", self._file)  # noqa: PTH104 - whole, once it is there


if sys.platform == "linux" and (folder := os.environ.get("BENCH_STACKS")):
    sampler = _Sampler(folder)
    signal.signal(signal.SIGALRM, sampler.note)
    signal.signal(signal.SIGUSR1, sampler.begin)
    signal.signal(signal.SIGUSR2, sampler.end)
