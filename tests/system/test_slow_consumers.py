"""Who reads slowly, or not at all, costs nobody anything but themselves."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from harness.builders import agent, answer, ask, call
from harness.faults import Way
from harness.wired import Wired, open_wired

from pentad.gateway.v1.run_service_pb2 import TailRunRequest
from pentad.state.v1.agent_pb2 import Limits
from pentad.state.v1.run_pb2 import MultiStepWorkflow, RunSpec, RunStatus, Step
from pentad_chassis.channel import reading

pytestmark = [pytest.mark.system, pytest.mark.long]

KIB = 1024
STEPS, CALLS, CALL_KIB = 24, 5, 240
JOURNAL = STEPS * CALLS * CALL_KIB * KIB
"""Bytes at least: far more than all that may be on its way to somebody who does not read."""


@pytest.fixture
def folder() -> Iterator[Path]:
    # Paths of unix sockets end at about 108 bytes; pytest's folders alone come close to that.
    with tempfile.TemporaryDirectory(prefix="pentad-", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
async def wired(folder: Path) -> AsyncIterator[Wired]:
    async with open_wired(folder) as opened:
        rules = [
            call(f"c{n}", "fill", *[f"c{n - 1}"] * (n > 0), kib=CALL_KIB) for n in range(CALLS)
        ]
        await opened.kit.apply(agent("filler", *rules, answer("full", f"c{CALLS - 1}")))
        yield opened


def spec() -> RunSpec:
    steps = [Step(name=f"s{n}", agent="filler", input="go") for n in range(STEPS)]
    limits = Limits(max_turns=STEPS * (CALLS + 1))
    return ask("filler", multi_step=MultiStepWorkflow(steps=steps), limits=limits)


async def test_a_consumer_that_stands_still_is_bounded_and_holds_up_nobody(wired: Wired) -> None:
    kit = wired.kit
    run_id = (await kit.create(spec())).run_id
    call = kit.client.runs.TailRun(TailRunRequest(run_id=run_id), timeout=60.0)
    async with reading(call) as responses:
        seen = [*(await anext(responses)).events]

        assert (await kit.wait(run_id)).status.state == RunStatus.STATE_COMPLETED
        await wired.quiet(("gateway", "state"))
        ahead = wired.proxies["gateway", "state"].passed[Way.RESPONSES]
        assert ahead < JOURNAL / 2, "nobody reads ahead for it"

        others = await kit.tail(run_id)
        assert sum(event.ByteSize() for event in others) > JOURNAL
        seen += [event async for response in responses for event in response.events]
    assert seen == others
