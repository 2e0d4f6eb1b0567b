import asyncio
import contextvars
import io
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pentad.state.v1.effect_service_pb2 import EffectKey, EffectOutcome
from pentad_chassis.telemetry import open_telemetry, silent_telemetry
from pentad_tools.call import Call
from pentad_tools.runner import Overran, Runner
from pentad_tools.threads import Threads
from pentad_tools.tool import (
    NOT_DONE,
    UNKNOWN,
    AnyTool,
    ArgumentInvalid,
    Checked,
    Done,
    Effect,
    ToolFailed,
    tool,
)

MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark")


@pytest.fixture
def runner() -> Runner:
    return Runner(Threads(2), silent_telemetry("tools"))


def call(function: Callable[..., Any], effect: Effect = Effect.PURE, timeout_s: float = 5) -> Call:
    function.__doc__ = "A tool of a test."
    return call_of(tool(effect=effect, timeout_s=timeout_s)(function))


def call_of(of: AnyTool, **arguments: object) -> Call:
    return Call(of, arguments, EffectKey(run_id="07abc", call_id="1.0.0"), b"print")


async def outcome(runner: Runner, made: Call) -> EffectOutcome:
    ended = await runner.run(made)
    assert isinstance(ended, EffectOutcome)
    return ended


async def test_a_result_is_what_the_function_returns(runner: Runner) -> None:
    def sync() -> list[int]:
        return [1]

    async def nonsync() -> str:
        return "one"

    assert (await outcome(runner, call(sync))).result.text == "[1]"
    assert (await outcome(runner, call(nonsync))).result.text == "one"


async def test_a_sync_tool_leaves_the_loop_alone_and_keeps_its_context(runner: Runner) -> None:
    def where() -> list[object]:
        return [threading.current_thread() is threading.main_thread(), MARK.get()]

    MARK.set("kept")

    assert (await outcome(runner, call(where))).result.text == '[false,"kept"]'


@pytest.mark.parametrize(
    ("error", "effect", "reason", "message"),
    [
        (ToolFailed("no stock"), Effect.PURE, "TOOL_FAILED", "no stock"),
        (ToolFailed("no stock"), Effect.ONCE, "TOOL_FAILED", "no stock"),
        (ArgumentInvalid("a", "is old"), Effect.PURE, "TOOL_ARGUMENTS_INVALID", "a: is old"),
        (KeyError("secret"), Effect.PURE, "TOOL_FAILED", "failing failed with KeyError"),
        (TimeoutError(), Effect.PURE, "TOOL_FAILED", "failing failed with TimeoutError"),
        (SystemExit(3), Effect.PURE, "TOOL_FAILED", "failing failed with SystemExit"),
        (
            OSError("secret"),
            Effect.ONCE,
            "TOOL_FAILED",
            "failing failed with OSError; it may have had its effect",
        ),
    ],
)
async def test_an_exception_becomes_an_outcome(
    runner: Runner, error: BaseException, effect: Effect, reason: str, message: str
) -> None:
    def sync() -> None:
        raise error

    async def nonsync() -> None:
        raise error

    for function in (sync, nonsync):
        function.__name__ = "failing"
        ended = await outcome(runner, call(function, effect))
        assert (ended.error.reason, ended.error.message) == (reason, message)


async def test_only_a_defect_is_logged_and_that_once() -> None:
    log = io.StringIO()
    runner = Runner(Threads(1), open_telemetry("tools", stream=log))

    def defective() -> None:
        raise KeyError("x")

    def failing() -> None:
        raise ToolFailed("no")

    await runner.run(call(defective))
    await runner.run(call(failing))

    (line,) = log.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["event"] == "a tool failed by a defect"
    assert entry["tool"] == "defective"
    assert "KeyError" in entry["exception"]


async def test_a_tool_that_cancels_itself_has_failed(runner: Runner) -> None:
    async def confused() -> None:
        raise asyncio.CancelledError

    assert "CancelledError" in (await outcome(runner, call(confused))).error.message


async def test_an_async_tool_is_stopped_at_its_time(runner: Runner) -> None:
    stopped = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    ended = await runner.run(call(slow, timeout_s=0.01))

    assert ended == Overran(None)
    assert stopped.is_set()


async def test_a_thread_that_overruns_tells_its_end_later(runner: Runner) -> None:
    release = threading.Event()

    def slow() -> str:
        release.wait(10)
        return "late"

    ended = await runner.run(call(slow, timeout_s=0.01))

    assert isinstance(ended, Overran)
    assert ended.end is not None
    assert not ended.end.done()
    release.set()
    assert (await ended.end).result.text == "late"


async def test_overrun_threads_keep_their_room(runner: Runner) -> None:
    release = threading.Event()

    def slow() -> None:
        release.wait(10)

    def quick() -> str:
        return "quick"

    first = await runner.run(call(slow, timeout_s=0.01))
    second = await runner.run(call(slow, timeout_s=0.01))
    third = await outcome(runner, call(quick, timeout_s=0.01))

    assert third.error.reason == "TOOL_TIMEOUT"
    assert third.error.message == "nothing was run: no thread was free within 0.01 s"
    release.set()
    for overran in (first, second):
        assert isinstance(overran, Overran)
        assert overran.end is not None
        await overran.end
    assert (await outcome(runner, call(quick))).result.text == "quick"


async def test_a_cancelled_call_stops_an_async_tool(runner: Runner) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    running = asyncio.create_task(runner.run(call(slow)))
    await started.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()


def pay() -> str:
    return "paid"


@pytest.mark.parametrize("found", [Done("paid"), NOT_DONE, UNKNOWN])
async def test_a_check_is_asked(runner: Runner, found: Checked) -> None:
    made = call(pay, Effect.ONCE)

    def sync() -> Checked:
        return found

    async def nonsync() -> Checked:
        return found

    for check in (sync, nonsync):
        made.tool.check(check)
        assert await runner.check(made) == found


async def test_a_check_that_is_missing_fails_or_hangs_knows_nothing(runner: Runner) -> None:
    async def hanging() -> Checked:
        await asyncio.Event().wait()
        return NOT_DONE

    def failing() -> Checked:
        raise OSError

    def babbling() -> Checked:
        return "done"  # type: ignore[return-value]

    made = call(pay, Effect.ONCE, timeout_s=0.05)
    assert await runner.check(made) is UNKNOWN
    for check in (hanging, failing, babbling):
        made.tool.check(check)
        assert await runner.check(made) is UNKNOWN


def test_a_hanging_tool_does_not_keep_the_process() -> None:
    code = (
        "import asyncio, threading\n"
        "from pentad_tools.threads import Threads\n"
        "async def main():\n"
        "    await Threads(1).start(threading.Event().wait)\n"
        "asyncio.run(main())\n"
    )

    async def run() -> int | None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        async with asyncio.timeout(20):
            return await process.wait()

    assert asyncio.run(run()) == 0
