"""A run that waits for a person goes on with answers to what it asks, and with nothing else."""

import pytest
from harness.runs import GOES_ON, RESTS, STARTED, TENANT, append, by, claimed

from pentad.state.v1.event_pb2 import RunResumed
from pentad.state.v1.run_pb2 import Pause, RunStatus, Settlement, UnknownEffect
from pentad.state.v1.run_service_pb2 import ClaimedRun, Lease
from pentad_chassis.errors import InvalidArgument
from pentad_state.core import StateCore
from pentad_state.errors import SettlementMissing

FIRST, SECOND, OTHER = "a 1", "b:2", "c"


def doubting(attempt: int) -> RunStatus:
    """How a run stands that asks about two calls."""
    effects = [UnknownEffect(call_id=c, tool="send", attempt=attempt) for c in (FIRST, SECOND)]
    pause = Pause(reason="EFFECT_OUTCOME_UNKNOWN", unknown_effects=effects)
    return RunStatus(state=RunStatus.STATE_PAUSED, pause=pause)


def found(*about: tuple[str, int]) -> RunResumed:
    """What a person found out about attempts at calls."""
    return RunResumed(
        settlements=[Settlement(call_id=c, attempt=n, not_done=True) for c, n in about]
    )


async def asking(core: StateCore, attempt: int) -> str:
    """Have a run that waits for a person."""
    lease: Lease = (await claimed(core)).lease
    await append(core, lease, 1, STARTED, RESTS, status=doubting(attempt))
    return lease.run_id


async def take_one(core: StateCore) -> ClaimedRun:
    (held,), _ = await core.schedule.poll(by("two"), 1, 5)
    return held


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        (found(), FIRST),
        (found((SECOND, 2)), FIRST),
        (found((FIRST, 2)), SECOND),
        (found((FIRST, 0), (OTHER, 0)), SECOND),
        (found((FIRST, 2), (SECOND, 1)), SECOND),
        (found((FIRST, 3), (SECOND, 2)), FIRST),
    ],
)
async def test_what_is_not_settled_is_named(
    core: StateCore, said: RunResumed, missing: str
) -> None:
    run_id = await asking(core, 2)

    with pytest.raises(SettlementMissing) as refused:
        await core.wishes.resume(TENANT, run_id, "once", said)

    told = refused.value.metadata
    assert (told["call_id"], told["tool"], told["attempt"]) == (missing, "send", "2")
    run, _ = await core.runs.get(TENANT, run_id)
    assert run.status.state == RunStatus.STATE_PAUSED


@pytest.mark.parametrize(
    "said",
    [
        found((FIRST, 2), (SECOND, 2)),
        found((SECOND, 0), (FIRST, 0)),
        found((FIRST, 0), (SECOND, 2)),
    ],
)
async def test_a_settlement_is_of_the_attempt_in_doubt_or_of_whichever(
    core: StateCore, said: RunResumed
) -> None:
    run_id = await asking(core, 2)

    run = await core.wishes.resume(TENANT, run_id, "once", said)

    assert run.status.state == RunStatus.STATE_QUEUED
    assert (await take_one(core)).resumed == said


@pytest.mark.parametrize(
    ("said", "odd"),
    [
        (found((FIRST, 1), (SECOND, 1), (OTHER, 1)), 2),
        (found((OTHER, 0), (FIRST, 0), (SECOND, 0)), 0),
        (found((FIRST, 1), (SECOND, 1), (SECOND, 7)), 2),
    ],
)
async def test_what_nobody_asked_is_refused(core: StateCore, said: RunResumed, odd: int) -> None:
    run_id = await asking(core, 1)

    with pytest.raises(InvalidArgument) as refused:
        await core.wishes.resume(TENANT, run_id, "once", said)

    assert [v.field for v in refused.value.violations] == [f"resumed.settlements[{odd}].call_id"]


async def test_a_run_that_rests_for_no_call_has_none_settled(core: StateCore) -> None:
    lease = (await claimed(core)).lease
    paused = RunStatus(state=RunStatus.STATE_PAUSED, pause=Pause(reason="PAUSE_REQUESTED"))
    await append(core, lease, 1, STARTED, RESTS, status=paused)

    with pytest.raises(InvalidArgument):
        await core.wishes.resume(TENANT, lease.run_id, "once", found((FIRST, 0)))


async def test_a_repeated_resume_is_known_though_the_run_has_come_to_ask_again(
    core: StateCore,
) -> None:
    """Its answer was lost; what the run asks by now is no concern of it."""
    run_id, said = await asking(core, 1), found((FIRST, 1), (SECOND, 1))
    await core.wishes.resume(TENANT, run_id, "once", said)
    held = await take_one(core)
    await append(core, held.lease, 3, GOES_ON, RESTS, status=doubting(2))

    run = await core.wishes.resume(TENANT, run_id, "once", said)

    assert run.status.state == RunStatus.STATE_PAUSED
    assert [effect.attempt for effect in run.status.pause.unknown_effects] == [2, 2]
    with pytest.raises(SettlementMissing):
        await core.wishes.resume(TENANT, run_id, "twice", said)
