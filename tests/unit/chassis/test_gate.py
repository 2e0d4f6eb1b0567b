"""The gate for calls that begin new work."""

import asyncio
import time

import pytest

from pentad_chassis.gate import Gate


class Caller:
    """Somebody who passes a gate and stays until told to leave."""

    def __init__(self, gate: Gate) -> None:
        self.passed = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._pass(gate))

    async def _pass(self, gate: Gate) -> None:
        async with gate.passing():
            self.passed.set()
            await self.leave.wait()

    async def left(self) -> None:
        self.leave.set()
        await self.task


async def arrive(gate: Gate, count: int) -> list[Caller]:
    callers = [Caller(gate) for _ in range(count)]
    await turn()
    return callers


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def inside(callers: list[Caller]) -> list[bool]:
    return [caller.passed.is_set() for caller in callers]


async def test_as_many_pass_as_it_is_wide_and_the_others_in_their_order() -> None:
    callers = await arrive(Gate(2, 1.0), 5)
    assert inside(callers) == [True, True, False, False, False]

    for number, caller in enumerate(callers):
        await caller.left()
        await turn()
        assert inside(callers) == [place < number + 3 for place in range(5)]


async def test_who_leaves_the_line_or_the_inside_makes_room() -> None:
    gate = Gate(1, 1.0)
    first, second, third = await arrive(gate, 3)

    second.task.cancel()
    first.task.cancel()
    await asyncio.wait_for(third.passed.wait(), 5)

    await third.left()
    (fourth,) = await arrive(gate, 1)
    assert fourth.passed.is_set()
    await fourth.left()


async def test_who_is_cancelled_as_the_turn_comes_passes_it_on() -> None:
    gate = Gate(1, 1.0)
    async with gate.passing():
        second, third = await arrive(gate, 2)
    second.task.cancel()  # it has been given the place, and has not run since
    await asyncio.wait_for(third.passed.wait(), 5)

    assert not second.passed.is_set()
    await third.left()


async def test_it_is_jammed_when_the_first_in_line_has_waited_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gate = Gate(1, 0.1)
    inside_, waiting = await arrive(gate, 2)
    now += 0.09
    assert not gate.is_jammed
    now += 0.02
    assert gate.is_jammed

    await inside_.left()
    await turn()
    assert not gate.is_jammed, "nobody waits"
    await waiting.left()


async def test_who_has_left_the_line_jams_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gate = Gate(1, 0.1)
    inside_, waiting = await arrive(gate, 2)
    now += 1.0
    waiting.task.cancel()
    await turn()

    assert not gate.is_jammed
    await inside_.left()
