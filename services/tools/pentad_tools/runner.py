"""Runs the function of a tool, within its time, and turns whatever happens into an outcome."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pentad.state.v1.effect_service_pb2 import EffectOutcome
from pentad_chassis.telemetry import Telemetry
from pentad_tools import outcome
from pentad_tools.call import Call
from pentad_tools.outcome import Reason
from pentad_tools.threads import Threads
from pentad_tools.tool import (
    UNKNOWN,
    ArgumentInvalid,
    Checked,
    Done,
    Effect,
    ToolFailed,
    Unsettled,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Overran(Generic[_T]):
    """The time was over before the function ended."""

    end: asyncio.Future[_T] | None
    """Done when the function ends: a thread cannot be stopped. None if it was stopped."""


class NoThread(Exception):
    """No thread was free within the tool's time; nothing was run."""


class Runner:
    """Runs tools and their checks."""

    def __init__(self, threads: Threads, telemetry: Telemetry) -> None:
        self._threads = threads
        self._telemetry = telemetry

    async def run(self, call: Call) -> EffectOutcome | Overran[EffectOutcome]:
        """Return how the call ended, or that it did not within its time."""

        def failed(error: BaseException) -> EffectOutcome:
            return self._failed(call, error)

        return await self._perform(call.tool.function, call, outcome.returned, failed)

    async def check(self, call: Call) -> Checked:
        """Return what the tool's own check finds; UNKNOWN where there is none, or it fails."""
        if call.tool.checker is None:
            return UNKNOWN

        def failed(error: BaseException) -> Checked:
            self._telemetry.log.error("a check failed", tool=call.tool.name, exc_info=error)
            return UNKNOWN

        found = await self._perform(call.tool.checker, call, _checked, failed)
        return UNKNOWN if isinstance(found, Overran) else found

    async def _perform(
        self,
        function: Callable[..., Any],
        call: Call,
        read: Callable[[object], _T],
        failed: Callable[[BaseException], _T],
    ) -> _T | Overran[_T]:
        if inspect.iscoroutinefunction(function):
            return await _in_loop(function, call, read, failed)

        def work() -> _T:
            try:
                return read(function(**call.arguments))
            except BaseException as error:  # noqa: BLE001 - a thread has nobody else to tell
                return failed(error)

        return await self._in_thread(work, call.tool.timeout_s, failed)

    async def _in_thread(
        self, work: Callable[[], _T], timeout_s: float, failed: Callable[[BaseException], _T]
    ) -> _T | Overran[_T]:
        end: asyncio.Future[_T] | None = None
        try:
            async with asyncio.timeout(timeout_s):
                end = await self._threads.start(work)
                return await asyncio.shield(end)
        except TimeoutError:
            return failed(NoThread()) if end is None else Overran(end)

    def _failed(self, call: Call, error: BaseException) -> EffectOutcome:
        tool = call.tool
        match error:
            case ArgumentInvalid():
                return outcome.failure(Reason.TOOL_ARGUMENTS_INVALID, str(error))
            case ToolFailed():
                return outcome.failure(Reason.TOOL_FAILED, str(error))
            case NoThread():
                return outcome.failure(
                    Reason.TOOL_TIMEOUT,
                    f"nothing was run: no thread was free within {tool.timeout_s:g} s",
                )
        self._telemetry.log.error("a tool failed by a defect", tool=tool.name, exc_info=error)
        doubt = "; it may have had its effect" if tool.effect is Effect.ONCE else ""
        return outcome.failure(
            Reason.TOOL_FAILED, f"{tool.name} failed with {type(error).__name__}{doubt}"
        )


async def _in_loop(
    function: Callable[..., Any],
    call: Call,
    read: Callable[[object], _T],
    failed: Callable[[BaseException], _T],
) -> _T | Overran[_T]:
    async def work() -> _T:
        try:
            return read(await function(**call.arguments))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of others
            return failed(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return failed(error)  # the tool cancelled itself, and nobody cancelled us

    try:
        async with asyncio.timeout(call.tool.timeout_s):
            return await work()
    except TimeoutError:
        return Overran(None)


def _checked(found: object) -> Checked:
    if not isinstance(found, Done | Unsettled):
        raise TypeError("a check returns Done(…), NOT_DONE or UNKNOWN")
    return found
