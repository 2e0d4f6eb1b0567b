"""Soaking a suite."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.inside import CLERK, Inside, open_inside, simple
from bench.load import System, measure
from bench.machine import commit, machine
from bench.site import OUT
from bench.soak.ageing import Ageing
from bench.soak.arrivals import Arrivals, arrive
from bench.soak.readings import Reading, read
from bench.soak.record import Record
from bench.work import ANSWER, QUESTION, Work
from pentad.state.v1.agent_pb2 import Agent, Rule, RuleCall
from pentad.state.v1.run_pb2 import RunSpec

_WARM_UP_S = 2.0
_PEAK_S = 3.0
_PEAK_IN_FLIGHT = (8, 16, 32)
_EVERY = 10
"""One run of so many calls a tool, and another is part of a conversation."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of the suite, and how often it is looked at."""

    seconds: float
    share: float
    """Of the most that it gets done."""
    every_s: float
    keep_s: float


async def measure_soak(plan: Plan) -> Record:
    """Return what a suite of its own held over time."""
    about = {"settings": asdict(plan), "machine": machine(), "commit": commit()}
    OUT.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="soak-", dir=OUT) as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        variables = {"PENTAD_STATE_SESSION_TTL_S": str(plan.keep_s)}
        async with open_inside(data, (CLERK, _reckoner()), variables) as suite:
            system = suite.performing("the suite", _Mix().next)
            await measure(system, Work.SIMPLE, _PEAK_IN_FLIGHT[0], _WARM_UP_S)
            peaks = [await measure(system, Work.SIMPLE, n, _PEAK_S) for n in _PEAK_IN_FLIGHT]
            peak = max(sample.per_s for sample in peaks)
            async with _ageing(suite, plan.keep_s):
                readings, seen = await _soaked(suite, system, plan, peak)
    return Record(about, peak, seen, readings)


async def _soaked(
    suite: Inside, system: System, plan: Plan, peak: float
) -> tuple[list[Reading], Arrivals]:
    seen = Arrivals()
    begun = time.monotonic()
    readings: list[Reading] = []
    async with asyncio.TaskGroup() as tasks:
        load = arrive(system.runs[Work.SIMPLE], plan.share * peak, plan.seconds, seen)
        loading = tasks.create_task(load)
        while not loading.done():
            readings.append(read(suite, time.monotonic() - begun, seen.done))
            await asyncio.wait((loading,), timeout=plan.every_s)
    return readings, seen


@asynccontextmanager
async def _ageing(suite: Inside, keep_s: float) -> AsyncIterator[None]:
    ageing = asyncio.create_task(Ageing(suite.engine, keep_s).keep_on())
    try:
        yield
        if ageing.done():
            await ageing  # it never ends but by a failure
    finally:
        ageing.cancel()
        await asyncio.wait((ageing,))


class _Mix:
    """What is asked, so that every process has something to do."""

    def __init__(self) -> None:
        self._numbers = count()

    def next(self) -> RunSpec:
        """Return the next run."""
        number = next(self._numbers)
        if number % _EVERY == 0:
            return RunSpec(agent=_reckoner().name, input=QUESTION)
        return simple(f"talk{number}" if number % _EVERY == 1 else "")


def _reckoner() -> Agent:
    """Return an agent that calls a tool before it answers."""
    call = RuleCall(tool="calculator")
    call.arguments.update({"expression": "6 * 7"})
    rules = [Rule(name="reckon", call=call), Rule(name="reply", answer=ANSWER)]
    return Agent(name="reckoner", model="rules:reckoner", rules=rules, tools=["calculator"])
