"""`python -m bench`: measure a simple run on both forms of the suite, beside the floor.

All three are up at the same time and take turns inside each round, so that whatever else the
machine does falls on all of them. Compare ratios: absolute times do not travel.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import uvloop

from bench.floor import open_floor
from bench.load import System, WrongAnswer, measure
from bench.processes import ROOT, ProcessDied
from bench.report import Report
from bench.suite import VIA, open_suite

_OUT = ROOT / "bench" / "out"
_STOPPED = 130
_COUNT_MAX = 1000
_SECONDS_MIN, _SECONDS_MAX = 0.1, 60.0
_WARM_UP_S = 1.0
_WARM_UP_IN_FLIGHT = 16
_FAILURES = (ProcessDied, WrongAnswer, grpc.aio.AioRpcError, OSError, TimeoutError)


def main() -> int:
    """Return 0, or 1 when a system could not be measured, or 130 when stopped before the end."""
    try:
        return _bench(_arguments())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _STOPPED


def _bench(arguments: argparse.Namespace) -> int:
    try:
        report = uvloop.run(_measured(arguments))
    except* _FAILURES as failures:
        failure = failures
    else:
        return _publish(report)
    sys.stderr.write(f"bench: {_first(failure)}\n")
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=_count, default=3, help="turns of each cell (3)")
    parser.add_argument("--seconds", type=_seconds, default=1.5, help="length of a turn (1.5)")
    parser.add_argument(
        "--concurrency", type=_counts, default=[1, 16, 64], help="runs in flight (1,16,64)"
    )
    parser.add_argument(
        "--via",
        choices=sorted(VIA),
        default="execute",
        help="one streaming ExecuteRun, or CreateRun and WaitRun (execute)",
    )
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _COUNT_MAX:
        raise argparse.ArgumentTypeError(f"a number from 1 to {_COUNT_MAX}, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not _SECONDS_MIN <= seconds <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"from {_SECONDS_MIN:g} to {_SECONDS_MAX:g}")
    return seconds


def _counts(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


async def _measured(arguments: argparse.Namespace) -> Report:
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    # As Ctrl-C does by itself: what was started must end, whoever ends this.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with _systems(arguments.via) as systems:
        report = Report([system.name for system in systems], vars(arguments))
        for system in systems:
            await measure(system, _WARM_UP_IN_FLIGHT, _WARM_UP_S)
        for number in range(arguments.rounds):
            first = number % len(systems)  # so that none always follows the same other
            for in_flight in arguments.concurrency:
                for system in (*systems[first:], *systems[:first]):
                    sample = await measure(system, in_flight, arguments.seconds)
                    report.add(system.name, in_flight, sample)
            _progress(f"round {number + 1} of {arguments.rounds}")
    return report


@asynccontextmanager
async def _systems(via: str) -> AsyncIterator[Sequence[System]]:
    """Run all three while the block runs, on the disk that the checkout is on."""
    _OUT.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="data-", dir=_OUT) as data,
        tempfile.TemporaryDirectory(prefix="pentad-bench-") as sockets,
    ):
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(system)
                for system in (
                    open_floor(_folder(data, "floor"), Path(sockets)),
                    open_suite(_folder(data, "one"), VIA[via], processes=False),
                    open_suite(_folder(data, "five"), VIA[via], processes=True),
                )
            ]


def _folder(parent: str, name: str) -> Path:
    folder = Path(parent) / name
    folder.mkdir(mode=0o700)
    return folder


def _publish(report: Report) -> int:
    for line in report.lines():
        print(line)
    file = _OUT / f"simple-run-{time.strftime('%Y%m%d-%H%M%S')}.json"
    report.write(file)
    print(f"\nEvery sample: {file.relative_to(ROOT)}")
    return 0


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{line}\n")


def _first(failures: BaseExceptionGroup[Exception]) -> BaseException:
    """Return the first failure itself, without the groups around it."""
    failure: BaseException = failures
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


if __name__ == "__main__":
    sys.exit(main())
