"""A closed loop of callers, and what it saw."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import grpc

from bench.processes import cpu_s
from pentad_chassis.status import from_grpc

CALL_S = 20.0
"""Time for one run; longer means that the system is broken, not slow."""

_RUNS_MAX = 200_000
_PAUSE_S = 0.1
"""Before a refused run is begun again, unless the refusal says how long."""


class WrongAnswer(Exception):
    """A run did not end as it must, so that no figure of it would mean anything."""


@dataclass(frozen=True, slots=True)
class System:
    """Something that performs simple runs."""

    name: str

    run: Callable[[], Awaitable[None]]
    """Perform one run; raises WrongAnswer unless it ends as it must."""

    processes: Mapping[str, int]
    """Process ids, by what the processes do."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one system."""

    runs: int
    per_s: float
    p50_ms: float
    p99_ms: float
    refused: float
    """Times that a run was refused, as too much at once, for each one that was performed."""
    cpu_us: dict[str, float]
    """Processor time for one run, by process; `client` is the load generator."""


async def measure(system: System, in_flight: int, seconds: float) -> Sample:
    """Keep `in_flight` runs going for `seconds`; each caller starts its next when one ends.

    A caller whose run is refused waits as it is told to, which counts as time of the run.
    """
    latencies: list[float] = []
    refusals: list[int] = []
    clock = time.perf_counter
    cpu_before, client_before = cpu_s(system.processes), time.process_time()
    start = clock()

    async def caller() -> None:
        while (began := clock()) < start + seconds and len(latencies) < _RUNS_MAX:
            refusals.append(await _perform(system))
            latencies.append(clock() - began)

    async with asyncio.timeout(seconds + 2 * CALL_S), asyncio.TaskGroup() as callers:
        for _ in range(in_flight):
            callers.create_task(caller())
    elapsed = clock() - start
    used = {"client": time.process_time() - client_before}
    used |= {role: now - cpu_before[role] for role, now in cpu_s(system.processes).items()}
    runs = len(latencies)
    return Sample(
        runs=runs,
        per_s=runs / elapsed,
        p50_ms=1e3 * statistics.median(latencies),
        p99_ms=1e3 * percentile(latencies, 0.99),
        refused=sum(refusals) / runs,
        cpu_us={role: 1e6 * seconds_used / runs for role, seconds_used in used.items()},
    )


async def _perform(system: System) -> int:
    """Perform one run; return how often it was refused before."""
    give_up = time.monotonic() + CALL_S
    for refusals in count():
        try:
            await system.run()
        except grpc.aio.AioRpcError as error:
            full = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            if not full or time.monotonic() > give_up:
                raise
            await asyncio.sleep(from_grpc(error, system.name).retry_after_s or _PAUSE_S)
        else:
            return refusals
    raise AssertionError("count() has no end")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
