"""Turns: every system in every round, in another order each time, until the time is up."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from bench.arguments import Arguments
from bench.load import RunFailed, System, TooSlow, WrongAnswer, measure
from bench.results import Cell, Results
from bench.usage import cpu_s, memory

_IDLE_S = 3.0
_WARM_UP_S = 0.5
_WARM_UP_IN_FLIGHT = 16
_SETTLE_S = 20.0
_SETTLED_SHARE = 0.1
"""A system that uses less than this of a core has ended what it was asked to do."""


async def measure_all(
    systems: Sequence[System], arguments: Arguments, results: Results, begun: float
) -> None:
    """Add to `results` what all rounds say, and what the systems use when nobody asks for anything.

    `begun` is when everything began, by the monotonic clock: the time that starting took counts.
    """
    until = begun + 60 * arguments.minutes
    for system in systems:
        for work in arguments.works:
            if work in system.runs:
                with suppress(TooSlow, RunFailed):  # the rounds will tell
                    await measure(system, work, _WARM_UP_IN_FLIGHT, _WARM_UP_S)
    results.idle_share = await _idle(systems, _IDLE_S)
    longest = 0.0
    for number in range(arguments.rounds):
        started = time.monotonic()
        if started + longest > until:
            break
        first = number % len(systems)  # so that none always follows the same other
        await _round((*systems[first:], *systems[:first]), arguments, results, until)
        longest = max(longest, time.monotonic() - started)
        _progress(f"round {number + 1} of {arguments.rounds}: {longest:.0f} s")
    for system in systems:
        results.memory[system.name] = memory(system.processes)


async def _round(
    systems: Sequence[System], arguments: Arguments, results: Results, until: float
) -> None:
    results.begin_round()
    for system, cell in _cells(systems, arguments):
        if cell in results.absent:
            continue
        if time.monotonic() > until:
            return
        try:
            sample = await measure(system, cell.work, cell.in_flight, arguments.seconds)
        except (TooSlow, RunFailed, WrongAnswer) as failure:
            results.absent[cell] = str(failure)
            if not isinstance(failure, TooSlow):
                results.defects.append(f"{cell.work.heading}, {cell.in_flight} at once: {failure}")
            await _settle(system)
        else:
            results.add(cell, sample)


def _cells(systems: Sequence[System], arguments: Arguments) -> Iterator[tuple[System, Cell]]:
    for in_flight in arguments.concurrency:
        for work in arguments.works:
            for system in systems:
                if work in system.runs:
                    yield system, Cell(work, in_flight, system.name)


async def _idle(systems: Sequence[System], seconds: float) -> dict[str, float]:
    """Return how much of a core each system uses while nothing is asked of any."""
    before = [cpu_s(system.processes) for system in systems]
    await asyncio.sleep(seconds)
    after = [cpu_s(system.processes) for system in systems]
    return {
        system.name: (sum(now.values()) - sum(then.values())) / seconds
        for system, then, now in zip(systems, before, after, strict=True)
    }


async def _settle(system: System) -> None:
    """Wait until a system has ended what nobody waits for any more, or for long enough."""
    give_up = time.monotonic() + _SETTLE_S
    while time.monotonic() < give_up:
        if (await _idle((system,), 1.0))[system.name] < _SETTLED_SHARE:
            return


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{line}\n")
