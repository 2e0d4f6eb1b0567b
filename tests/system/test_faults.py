"""Every hop under every fault: a typed end in time, a breaker as documented, nothing left behind,
and recovery without help.

The docs say what a breaker does: it opens on five failures in a row, a failure being a peer that
cannot be reached or a deadline that passed without a word. So a hop whose peer is gone or silent
opens its caller's breaker, one that is slow does not, and breakers of the hops behind which the
fault lies stay closed: their peers are there and say what is wrong.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from harness.builders import ask, gated
from harness.faults import (
    BLACK_HOLE,
    CUT_REQUESTS,
    CUT_RESPONSES,
    DELAY,
    DROP,
    REFUSE,
    RESET,
    Fault,
    FaultProxy,
)
from harness.legs import DEADLINE_S, LEGS, Call, Leg, Scene, cancel_run, open_scene
from harness.suite import TRANSPORTS, until

from pentad.state.v1.run_pb2 import RunStatus
from pentad_chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

SLACK_S = 4.0
"""For a machine that tests share; a call that nobody ends would go on for longer."""

PACE_S = 0.03
CALLS = 6
"""One more than the failures that open a breaker."""

RETRYABLE = (Unavailable, DeadlineExceeded, ResourceExhausted)
RECOVERY_S = 20.0
FINISH_S = 30.0

FAULTS = {
    "refuse": REFUSE,
    "drop": DROP,
    "delay": DELAY,
    "cut-requests": CUT_REQUESTS,
    "cut-responses": CUT_RESPONSES,
    "reset": RESET,
    "black-hole": BLACK_HOLE,
}
OPENING = {"refuse", "cut-requests", "cut-responses", "reset", "black-hole"}
"""Faults under which a peer is gone or silent for every caller."""

PERHAPS = {"drop"}
"""Faults after which it depends on how soon a connection stands again."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=TRANSPORTS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with open_scene(link=request.param) as opened:
        yield opened


MATRIX = [
    pytest.param(leg, arity, fault, id=f"{leg}-{arity}-{fault}")
    for leg in LEGS
    for arity in leg.calls
    for fault in FAULTS
]


@pytest.mark.parametrize(("leg", "arity", "fault"), MATRIX)
async def test_a_hop_fails_in_time_and_in_type_and_recovers_by_itself(
    scene: Scene, leg: Leg, arity: str, fault: str, tmp_path: Path
) -> None:
    wired, call, proxy = scene.wired, leg.calls[arity], scene.wired.proxies[leg.hop]
    own = leg.breaker or leg.hop
    async with in_flight(scene, tmp_path / "gate"):
        opened = {hop: wired.times_opened(hop) for hop in leg.breakers()}
        async with suffering(proxy, FAULTS[fault]):
            (tmp_path / "gate").touch()
            await asyncio.gather(*(ends_in_time(scene, call, n) for n in range(CALLS)))

            for hop, before in opened.items():
                opens = hop == own and fault in OPENING
                if hop != own or fault not in PERHAPS:
                    assert (wired.times_opened(hop) > before) == opens, f"the breaker of {hop}"
        await recover(scene, call)
        if leg.hop != ("state", "engine"):
            assert wired.breaker(own) == "closed"
    await wired.settle(scene.calm)


@asynccontextmanager
async def suffering(proxy: FaultProxy, fault: Fault) -> AsyncIterator[None]:
    """Have a fault for as long as the block runs."""
    await proxy.begin(fault)
    try:
        yield
    finally:
        await proxy.heal()


@asynccontextmanager
async def in_flight(scene: Scene, gate: Path) -> AsyncIterator[None]:
    """Have a run under way that has to cross every hop, and somebody who watches it.

    The run ends well, and in time. Its watcher sees its end, or a typed error.
    """
    await recover(scene, cancel_run)
    kit = scene.wired.kit
    name = f"waits-{next(_NUMBERS)}"
    await kit.apply(gated(name, str(gate)))
    run = await kit.create(ask(name))
    async with asyncio.TaskGroup() as group:
        begun = asyncio.Event()
        watching = group.create_task(watch(scene, run.run_id, begun))
        await begun.wait()
        yield
        await until(partial(has_completed, scene, run.run_id), FINISH_S, "the run has completed")
        async with asyncio.timeout(FINISH_S):
            await watching


_NUMBERS = count()


async def watch(scene: Scene, run_id: str, begun: asyncio.Event) -> None:
    try:
        async for event in scene.wired.kit.events(run_id):
            if event.HasField("tool_call_started"):
                begun.set()
    except RETRYABLE:
        assert begun.is_set(), "nothing fails before there is a fault"


async def has_completed(scene: Scene, run_id: str) -> bool:
    try:
        status = (await scene.wired.kit.get(run_id)).status
    except RETRYABLE:
        return False
    assert status.state not in {RunStatus.STATE_FAILED, RunStatus.STATE_CANCELLED}, status
    return status.state == RunStatus.STATE_COMPLETED


async def ends_in_time(scene: Scene, call: Call, place: int) -> None:
    """Whether it succeeds or not: within its deadline, and with an error that says what to do."""
    # One after the other, as callers come: what is due all at once would be late by itself.
    await asyncio.sleep(place * PACE_S)
    began = time.monotonic()
    with suppress(*RETRYABLE):
        await call(scene, DEADLINE_S)
    assert time.monotonic() - began < DEADLINE_S + SLACK_S


async def recover(scene: Scene, call: Call) -> None:
    async def works() -> bool:
        try:
            await call(scene, DEADLINE_S)
        except RETRYABLE:
            return False
        return True

    await until(works, RECOVERY_S, "the hop works again")
