"""`python -m bench.overload`: what a suite still does when three times too much is asked of it.

First the most it does in a closed loop; then runs arrive at three times that rate, whether or not
earlier ones have ended. Goodput is what completes; a refusal must be cheap, or it would eat it.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
import uvloop

from bench.load import System, WrongAnswer, measure
from bench.site import claim_ground
from bench.suite import execute, open_suite
from bench.work import Work
from pentad_chassis.status import from_grpc

_OUTSTANDING_MAX = 5000
"""Runs asked for and not answered; more arrivals count as refused by the load generator."""


@dataclass(slots=True)
class Storm:
    """What came of the runs that were asked for."""

    seconds: float
    latencies_s: list[float] = field(default_factory=list)
    """Of runs that completed."""
    refusals_s: list[float] = field(default_factory=list)
    """How long a refusal took."""
    others: Counter[str] = field(default_factory=Counter)

    @property
    def goodput(self) -> float:
        """Completed runs a second."""
        return len(self.latencies_s) / self.seconds


def main() -> int:
    """Print peak, goodput and latencies; return 1 when goodput falls below the promise."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the storm (10)")
    parser.add_argument("--times", type=float, default=3.0, help="load, in peaks (3)")
    parser.add_argument("--processes", action="store_true", help="five processes instead of one")
    parser.add_argument("--least", type=float, default=0.8, help="goodput in peaks to exit 0 (0.8)")
    arguments = parser.parse_args()
    peak, storm = uvloop.run(
        _measured(arguments.seconds, arguments.times, processes=arguments.processes)
    )
    share = storm.goodput / peak
    print(f"peak                {peak:8.0f} runs/s")
    print(f"asked for           {arguments.times * peak:8.0f} runs/s")
    print(f"goodput             {storm.goodput:8.0f} runs/s, {share:.2f} of the peak")
    print(f"completed: p50, p99 {_ms(storm.latencies_s)}")
    print(f"refused: p50, p99   {_ms(storm.refusals_s)}, {len(storm.refusals_s)} runs")
    for code, count in storm.others.items():
        print(f"{code.lower():<20}{count:8}")
    return 0 if share >= arguments.least else 1


async def _measured(seconds: float, times: float, *, processes: bool) -> tuple[float, Storm]:
    with claim_ground() as ground:
        site = ground.site("suite", model_url="")
        async with open_suite(site, "the suite", execute, processes=processes) as system:
            await measure(system, Work.SIMPLE, 16, 1.0)
            peaks = [await measure(system, Work.SIMPLE, n, 3.0) for n in (8, 16, 32)]
            peak = max(sample.per_s for sample in peaks)
            return peak, await _storm(system, times * peak, seconds)


async def _storm(system: System, rate: float, seconds: float) -> Storm:
    storm = Storm(seconds)
    begun = time.perf_counter()
    arrivals = 0
    outstanding = 0

    async def arrive() -> None:
        nonlocal outstanding
        at = time.perf_counter()
        try:
            await system.runs[Work.SIMPLE]()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                storm.refusals_s.append(time.perf_counter() - at)
            else:
                storm.others[from_grpc(error, system.name).reason] += 1
        except WrongAnswer:
            storm.others["no answer"] += 1
        else:
            if time.perf_counter() - begun <= seconds:
                storm.latencies_s.append(time.perf_counter() - at)
            else:
                storm.others["completed too late"] += 1
        finally:
            outstanding -= 1

    async with asyncio.TaskGroup() as group:
        while (now := time.perf_counter() - begun) < seconds:
            while arrivals < rate * now:
                arrivals += 1
                if outstanding >= _OUTSTANDING_MAX:
                    storm.others["not even sent"] += 1
                    continue
                outstanding += 1
                group.create_task(arrive())
            await asyncio.sleep(0.005)
    return storm


def _ms(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{1e3 * statistics.median(ordered):8.0f} ms, {1e3 * p99:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
