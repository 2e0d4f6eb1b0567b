"""A closed loop of callers, and what it saw."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import grpc

from bench.usage import cpu_s
from bench.work import Work
from pentad_chassis.errors import Code, ServiceError
from pentad_chassis.status import from_grpc

CALL_S = 20.0
"""Time for one run; longer means that the system is broken, or far beyond what it can do."""

_RUNS_MAX = 200_000
_PAUSE_S = 0.1
"""Before a refused run is begun again, unless the refusal says how long."""

Run = Callable[[], Awaitable[float | None]]
"""Performs one run; raises WrongAnswer unless it ends as it must.

A run that streams returns when its first token came, by `time.perf_counter`.
"""


class WrongAnswer(Exception):
    """A run did not end as it must, so that no figure of it would mean anything."""


class RunFailed(Exception):
    """A run was refused for another reason than too much load; the message says whose and why."""


class TooSlow(Exception):
    """A run took longer than CALL_S, so that the system has no figure for this."""


@dataclass(frozen=True, slots=True)
class System:
    """Something that performs runs, and that is up."""

    name: str

    runs: Mapping[Work, Run]
    """One for each kind of work that it can do."""

    processes: Mapping[str, int]
    """Process ids, by what the processes do; those below them count as theirs."""


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
    first_token_ms: float | None = None
    """The median time to the first token, of a stream."""


@dataclass(slots=True)
class _Seen:
    """What all callers of one measurement saw."""

    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    refusals: int = 0


async def measure(system: System, work: Work, in_flight: int, seconds: float) -> Sample:
    """Keep `in_flight` runs going for `seconds`; each caller starts its next when one ends.

    Every caller performs one at least, and those that have begun are waited for. A caller whose run
    is refused waits as it is told to, which counts as time of the run.
    """
    seen = _Seen()
    cpu_before, client_before = cpu_s(system.processes), time.process_time()
    failure: BaseException | None = None
    begun = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as callers:
            for _ in range(in_flight):
                callers.create_task(_keep_calling(system, work, begun + seconds, seen))
    except* (TooSlow, RunFailed, WrongAnswer) as failures:
        failure = first_of(failures)
    if failure:
        raise failure
    elapsed = time.perf_counter() - begun
    used = {"client": time.process_time() - client_before}
    used |= {role: now - cpu_before[role] for role, now in cpu_s(system.processes).items()}
    runs = len(seen.latencies)
    return Sample(
        runs=runs,
        per_s=runs / elapsed,
        p50_ms=1e3 * statistics.median(seen.latencies),
        p99_ms=1e3 * percentile(seen.latencies, 0.99),
        refused=seen.refusals / runs,
        cpu_us={role: 1e6 * seconds_used / runs for role, seconds_used in used.items()},
        first_token_ms=1e3 * statistics.median(seen.first_tokens) if seen.first_tokens else None,
    )


async def _keep_calling(system: System, work: Work, until: float, seen: _Seen) -> None:
    ended = 0.0
    while ended < until and len(seen.latencies) < _RUNS_MAX:
        began = time.perf_counter()
        first_token = await _perform(system, work, seen)
        ended = time.perf_counter()
        seen.latencies.append(ended - began)
        if first_token is not None:
            seen.first_tokens.append(first_token - began)


async def _perform(system: System, work: Work, seen: _Seen) -> float | None:
    """Perform one run, however often it is refused before."""
    give_up = time.monotonic() + CALL_S
    for _ in count():
        try:
            return await system.runs[work]()
        except TimeoutError:
            raise _too_slow(system) from None
        except (grpc.aio.AioRpcError, ServiceError) as error:
            told = from_grpc(error, system.name) if isinstance(error, grpc.RpcError) else error
            if told.code is Code.DEADLINE_EXCEEDED:
                raise _too_slow(system) from None
            if told.code is not Code.RESOURCE_EXHAUSTED or time.monotonic() > give_up:
                said = f"{told.code.name}, {told.message}"
                raise RunFailed(f"{system.name}, {work.heading}: {said}") from error
            seen.refusals += 1
            await asyncio.sleep(told.retry_after_s or _PAUSE_S)
    raise AssertionError("count() has no end")


def _too_slow(system: System) -> TooSlow:
    return TooSlow(f"{system.name} did not answer within {CALL_S:.0f} s")


def first_of(failures: BaseException) -> BaseException:
    """Return the first failure itself, without the groups around it."""
    while isinstance(failures, BaseExceptionGroup):
        failures = failures.exceptions[0]
    return failures


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of all does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
