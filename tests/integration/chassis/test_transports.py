"""A link and plain gRPC give the same results, whatever is called, left and mixed at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from harness.linked import until_rested
from harness.suite import until
from integration.chassis.peer import Caller, Replica, calling, replicas

from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import run_service_pb2 as runs
from pentad_chassis.channel import reading
from pentad_chassis.errors import ServiceError

WALKS = 12
STEPS = 60
SIZES = (0, 1, 500, 32 * 1024, 32 * 1024 + 1, 200_000, 1_500_000)

Result = tuple[object, ...]


@dataclass(frozen=True)
class Step:
    """One call, and what its caller does."""

    kind: str
    size: int
    count: int
    """Messages of a stream, and how many of them are read."""
    read: int
    rounds: int
    """Turns of the loop before it begins, or before it is cancelled."""


def draw(dice: random.Random) -> Step:
    kind = dice.choice(["get", "put", "fail", "tail", "tail", "tail and fail", "leave", "cancel"])
    size = dice.choice(SIZES)
    count = dice.choice((0, 1, 5, 40, 100)) if size <= 500 else dice.randrange(4)
    return Step(kind, size, count, dice.randint(0, count), dice.randrange(30))


async def take(caller: Caller, step: Step) -> Result:
    """Do what the step says; return all that its caller sees."""
    for _ in range(step.rounds):
        await asyncio.sleep(0)
    try:
        match step.kind:
            case "get":
                return len(await caller.get(str(step.size))), "got"
            case "put":
                return await caller.put(step.size), "put"
            case "fail":
                await caller.entries.GetEntry(entries.GetEntryRequest(scope="nowhere", key="k"))
            case "cancel":
                return await cancelled(caller, step)
            case _:
                return await tailed(caller, step)
    except ServiceError as error:
        return type(error), error.reason, error.message, tuple(error.metadata.items())
    raise AssertionError(step)


async def tailed(caller: Caller, step: Step) -> Result:
    seen: list[tuple[int, int]] = []
    leaves, fails = step.kind == "leave", step.kind == "tail and fail"
    request = runs.TailRunRequest(
        run_id="-" if leaves else str(step.count),
        after=str(step.size),
        tenant="nobody" if fails else "",
    )
    async with reading(caller.runs.TailRun(request)) as responses:
        try:
            while not (leaves and len(seen) > step.read):
                (event,) = (await anext(responses)).events
                seen.append((event.seq, len(event.text_delta.text)))
        except StopAsyncIteration:
            seen.append((-1, 0))
        except ServiceError as error:
            return type(error), error.reason, *seen
    return tuple(seen)


async def cancelled(caller: Caller, step: Step) -> Result:
    """Cancel a call that may have ended already: how, is not the same each time."""
    calling = asyncio.ensure_future(caller.put(step.size))
    for _ in range(step.rounds):
        await asyncio.sleep(0)
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    return ("left",)


@pytest.fixture
async def one() -> AsyncIterator[Replica]:
    async with replicas(1, drain_grace_s=0.0) as (replica,):
        await replica.start()
        yield replica


@pytest.mark.parametrize("seed", range(WALKS))
async def test_a_walk_ends_alike_on_both(one: Replica, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - of a test
    steps = [draw(dice) for _ in range(STEPS)]
    async with calling(one.address, link=False) as alone, calling(one.address) as linked:
        await linked.until_linked()
        expected = await asyncio.gather(*(take(alone, step) for step in steps))
        found = await asyncio.gather(*(take(linked, step) for step in steps))

        for step, e, f in zip(steps, expected, found, strict=True):
            assert e == f, step
        await until_rested(linked.channel)

        async def none_open() -> bool:
            return one.runs.open == 0

        await until(none_open, what="every handler has ended")
