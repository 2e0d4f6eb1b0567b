"""Growing one suite, and measuring it in turn with one that does not grow."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.growth.fill import Fill
from bench.growth.points import Book, Curve, Point, Round
from bench.growth.stocks import KINDS, Stock
from bench.growth.streams import NotHeld
from bench.growth.turns import measure_turns
from bench.inside import Inside, open_inside
from bench.load import System, measure
from bench.machine import commit, machine
from bench.site import OUT
from bench.usage import cpu_s
from bench.work import Work

_WARM_UP_S = 4.0
"""Until spans of a part of the runs only are kept, as under any load that lasts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured, and for how long."""

    kinds: Sequence[str]
    most: int
    """Larger cases are left out."""
    rounds: int
    seconds: float
    in_flight: int
    minutes: float
    calls: int
    """Tool calls of the long run; 0 for no such run."""
    tokens: int


async def measure_growth(plan: Plan) -> Book:
    """Measure every curve, each on suites of its own."""
    until = time.monotonic() + 60 * plan.minutes
    book = Book({"settings": asdict(plan), "machine": machine(), "commit": commit()})
    OUT.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="growth-", dir=OUT) as root:
        if plan.calls:
            folder = _folder(root, "turns")
            book.turns = await measure_turns(folder, plan.calls, plan.tokens)
            _progress("the long run has ended")
        for name in plan.kinds:
            curve = Curve(name, KINDS[name].title)
            book.curves.append(curve)
            async with AsyncExitStack() as stack:
                suites = [
                    await stack.enter_async_context(open_inside(_folder(root, f"{name}-{which}")))
                    for which in ("grown", "beside")
                ]
                await _measure_curve(curve, plan, until, *suites)
    return book


async def _measure_curve(
    curve: Curve, plan: Plan, until: float, grown: Inside, beside: Inside
) -> None:
    kind = KINDS[curve.name]
    fills = [await Fill.over(suite) for suite in (grown, beside)]
    async with kind.open(grown, fills[0]) as stock, kind.open(beside, fills[1]) as little:
        least, *_ = kind.sizes
        for each in (stock, little):
            await each.grow(least)
        pair = (grown.performing("grown", stock.spec), beside.performing("beside", little.spec))
        for system in pair:
            await measure(system, Work.SIMPLE, plan.in_flight, _WARM_UP_S)
        pace = _Pace()
        for size in kind.sizes:
            if size > plan.most:
                curve.left_out[size] = "more than was wished for"
            elif time.monotonic() + pace.expected_s(size) > until:
                curve.left_out[size] = "no time"
            else:
                try:
                    await _grow(curve, size, stock, pace)
                    with pace.measuring():
                        point = await _point(size, plan, pair, grown, kind.idle_s)
                    stock.check()
                except NotHeld as why:
                    curve.left_out[size] = str(why)
                    return
                curve.points.append(point)
                _progress(f"{curve.title}: {size:,}")


async def _grow(curve: Curve, size: int, stock: Stock, pace: "_Pace") -> None:
    with pace.filling(size):
        curve.take(await stock.grow(size))


async def _point(
    size: int, plan: Plan, pair: tuple[System, System], grown: Inside, idle_s: float
) -> Point:
    held = grown.held()
    before = cpu_s(grown.processes)
    await asyncio.sleep(idle_s)
    after = cpu_s(grown.processes)
    idle_us = {role: 1e6 * (now - before[role]) / idle_s for role, now in after.items()}
    rounds = []
    for number in range(plan.rounds):
        turns = pair if number % 2 else pair[::-1]  # so that none always follows the other
        samples = {
            system.name: await measure(system, Work.SIMPLE, plan.in_flight, plan.seconds)
            for system in turns
        }
        rounds.append(Round(*(samples[system.name] for system in pair)))
    return Point(size, rounds, held, idle_us)


@dataclass(slots=True)
class _Pace:
    """How long the next point may take, judged by those before."""

    size: int = 0
    fill_s_each: float = 0.0
    measure_s: float = 0.0

    def expected_s(self, size: int) -> float:
        """Return how long a point of this size will take, about."""
        return self.fill_s_each * (size - self.size) + self.measure_s

    @contextmanager
    def filling(self, size: int) -> Iterator[None]:
        """Take note of how long filling takes."""
        began = time.monotonic()
        yield
        self.fill_s_each = (time.monotonic() - began) / max(1, size - self.size)
        self.size = size

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Take note of how long measuring takes."""
        began = time.monotonic()
        yield
        self.measure_s = time.monotonic() - began


def _folder(root: str, name: str) -> Path:
    folder = Path(root) / name
    folder.mkdir(mode=0o700)
    return folder


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{line}\n")
