"""How a benchmark's command ends: with what it measured, with a reason, or as it is told to."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc
import uvloop

from bench.load import RunFailed, TooSlow, WrongAnswer, first_of
from bench.processes import ProcessDied
from bench.site import Missing

_Measured = TypeVar("_Measured")

_FAILED = 1
_STOPPED = 130
_FAILURES = (
    *(Missing, ProcessDied, RunFailed, TooSlow, WrongAnswer),
    *(grpc.aio.AioRpcError, OSError, EOFError, TimeoutError),
)


def carried_out(measuring: Coroutine[Any, Any, _Measured]) -> _Measured:
    """Return what was measured, once everything that was started has ended.

    Exits 1 with a line that says why when a system could not be measured, 130 when stopped by
    Ctrl-C or SIGTERM.
    """
    try:
        return uvloop.run(_stoppable(measuring))
    except* _FAILURES as failures:
        failure = failures
    except* (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(_STOPPED)
    sys.stderr.write(f"bench: {_said(first_of(failure))}\n")
    sys.exit(_FAILED)


async def _stoppable(measuring: Coroutine[Any, Any, _Measured]) -> _Measured:
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    # As Ctrl-C does by itself: what was started must end, whoever ends this.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await measuring


def _said(failure: BaseException) -> str:
    """Return what a failure says, in a line where gRPC would take six."""
    if isinstance(failure, grpc.aio.AioRpcError):
        return f"{failure.code().name}: {failure.details()}"
    return str(failure) or type(failure).__name__
