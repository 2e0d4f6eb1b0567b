"""A run that is asked to rest does; nobody holds it meanwhile; it goes on once it is resumed."""

import asyncio
import time

import pytest
from harness.engines import ask
from harness.runs import (
    COMPLETED,
    DONE,
    GOES_ON,
    IN_DOUBT,
    NOTHING,
    PARKED,
    PAUSED,
    RESTS,
    SPEC,
    STARTED,
    TENANT,
    append,
    by,
    claimed,
    create,
)

from pentad.state.v1.event_pb2 import RunResumed
from pentad.state.v1.run_pb2 import RunSpec, RunStatus, Settlement
from pentad.state.v1.run_service_pb2 import ClaimedRun
from pentad_chassis.errors import Code
from pentad_state.core import StateCore
from pentad_state.errors import PayloadTooLarge, RunNotFound, RunNotPaused, StaleFence
from pentad_state.partitions import key, partition_of_run

GO = RunResumed(reason="go")


async def paused(core: StateCore) -> ClaimedRun:
    """A run that rests; its old lease."""
    held = await claimed(core)
    await core.wishes.request_pause(TENANT, held.lease.run_id, "lunch")
    await append(core, held.lease, 1, STARTED, RESTS, status=PAUSED)
    return held


async def state_of(core: StateCore, run_id: str) -> RunStatus.State.ValueType:
    return (await core.runs.get(TENANT, run_id))[0].status.state


async def take_one(core: StateCore) -> ClaimedRun:
    (held,), _ = await core.schedule.poll(by("two"), 1, 5)
    return held


async def test_an_owner_hears_of_a_pause_at_once_and_with_every_renewal(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    waiting = asyncio.create_task(core.schedule.poll(by("one"), 0, 10))
    await asyncio.sleep(0.05)

    begun = time.monotonic()
    run = await core.wishes.request_pause(TENANT, held.lease.run_id, "lunch")
    runs, asked = await waiting

    assert time.monotonic() - begun < 0.5
    assert run.pause_requested
    assert (runs, asked.cancels) == ([], [])
    assert [(p.run_id, p.reason) for p in asked.pauses] == [(run.run_id, "lunch")]
    for _ in range(2):
        lost, asked, _ = await core.leases.renew(by("one"), [held.lease])
        assert (lost, asked.cancels) == ([], [])
        assert [p.reason for p in asked.pauses] == ["lunch"]


async def test_a_paused_run_is_held_by_nobody_and_has_not_ended(
    core: StateCore, engine: str
) -> None:
    held = await paused(core)
    run_id = held.lease.run_id

    run, _ = await core.runs.get(TENANT, run_id)
    assert run.status == PAUSED
    assert not run.pause_requested
    assert not run.HasField("end_time")
    p = partition_of_run(run_id)
    for kind in ("ready", "leases", "due", "ended"):
        assert ask(engine, "ZCARD", key(p, kind)) == 0, kind
    assert ask(engine, "PTTL", key(p, "run", run_id)) == -1
    assert await core.schedule.poll(by("two"), 1, 1.2) == ([], NOTHING)
    assert await core.leases.renew(by("one"), [held.lease]) == ([run_id], NOTHING, [])
    with pytest.raises(StaleFence):
        await append(core, held.lease, 3, DONE, status=COMPLETED)
    waited = await core.tails.wait(TENANT, run_id, 0.1)
    assert waited.status.state == RunStatus.STATE_PAUSED


async def test_paused_runs_can_be_listed(core: StateCore) -> None:
    await create(core, "other")
    held = await paused(core)

    found, _ = await core.runs.list_runs(TENANT, RunStatus.STATE_PAUSED, "", 10, "")

    assert [run.run_id for run in found] == [held.lease.run_id]


async def test_a_resumed_run_goes_on_and_its_owner_is_told_until_it_is_journalled(
    core: StateCore,
) -> None:
    run_id = (await paused(core)).lease.run_id
    wanted = RunResumed(reason="after lunch")

    run = await core.wishes.resume(TENANT, run_id, "once", wanted)

    assert run.status.state == RunStatus.STATE_QUEUED
    assert not run.status.HasField("pause")
    held = await take_one(core)
    assert held.resumed == wanted
    assert not held.owner_lost
    assert not held.pause_requested
    await core.leases.release([held.lease])
    held = await take_one(core)
    assert held.resumed == wanted, "nobody has journalled it"
    await append(core, held.lease, held.last_seq, GOES_ON)
    await core.leases.release([held.lease])
    assert not (await take_one(core)).HasField("resumed")


async def test_a_repeated_resume_changes_nothing_however_late(core: StateCore) -> None:
    run_id = (await paused(core)).lease.run_id
    await core.wishes.resume(TENANT, run_id, "once", GO)
    await core.wishes.resume(TENANT, run_id, "once", RunResumed(reason="again"))
    held = await take_one(core)
    assert held.resumed == GO
    await core.wishes.resume(TENANT, run_id, "once", GO)
    await core.wishes.request_pause(TENANT, run_id, "tea")
    await append(core, held.lease, 3, GOES_ON, RESTS, status=PAUSED)

    run = await core.wishes.resume(TENANT, run_id, "once", GO)

    assert run.status.state == RunStatus.STATE_PAUSED
    run = await core.wishes.resume(TENANT, run_id, "twice", GO)
    assert run.status.state == RunStatus.STATE_QUEUED


async def test_a_run_that_does_not_rest_cannot_be_resumed(core: StateCore) -> None:
    run = await create(core, "waits")
    held = await claimed(core, "works")
    ended = await claimed(core, "ended")
    await append(core, ended.lease, 1, DONE, status=COMPLETED)

    for run_id in (run.run_id, held.lease.run_id, ended.lease.run_id):
        with pytest.raises(RunNotPaused) as caught:
            await core.wishes.resume(TENANT, run_id, "once", GO)
        assert caught.value.code is Code.FAILED_PRECONDITION
    for tenant, run_id in (("other", run.run_id), (TENANT, "nope")):
        with pytest.raises(RunNotFound):
            await core.wishes.resume(tenant, run_id, "once", GO)
        with pytest.raises(RunNotFound):
            await core.wishes.request_pause(tenant, run_id, "no")


async def test_a_pause_of_what_rests_or_has_ended_changes_nothing(core: StateCore) -> None:
    held = await paused(core)
    run = await core.wishes.request_pause(TENANT, held.lease.run_id, "more")
    assert run.status == PAUSED
    assert not run.pause_requested

    ended = await claimed(core, "ended")
    await append(core, ended.lease, 1, DONE, status=COMPLETED)
    run = await core.wishes.request_pause(TENANT, ended.lease.run_id, "late")
    assert run.status == COMPLETED
    assert not run.pause_requested


async def test_a_queued_run_that_is_to_rest_is_handed_to_an_owner_first(core: StateCore) -> None:
    await create(core, "urgent", spec=RunSpec(agent="echo", priority=10))
    run = await create(core, "plain")

    run = await core.wishes.request_pause(TENANT, run.run_id, "lunch")

    assert run.pause_requested
    held = await take_one(core)
    assert held.lease.run_id == run.run_id
    assert held.pause_requested
    assert held.pause_reason == "lunch"


async def test_a_pause_is_taken_back_before_anybody_heard_of_it(core: StateCore) -> None:
    run = await create(core)
    await core.wishes.request_pause(TENANT, run.run_id, "lunch")

    run = await core.wishes.resume(TENANT, run.run_id, "once", GO)

    assert not run.pause_requested
    held = await take_one(core)
    assert not held.pause_requested
    assert not held.HasField("resumed"), "its journal does not say that it rested"


async def test_a_delayed_run_waits_on_after_a_pause_was_taken_back(core: StateCore) -> None:
    spec = RunSpec(agent="echo")
    spec.start_time.FromMilliseconds(int((time.time() + 600) * 1000))
    run = await create(core, spec=spec)
    await core.wishes.request_pause(TENANT, run.run_id, "lunch")
    held = await take_one(core)
    await append(core, held.lease, 1, RESTS, status=PAUSED)

    await core.wishes.resume(TENANT, run.run_id, "once", GO)

    assert await core.schedule.poll(by("two"), 1, 0) == ([], NOTHING)


async def test_a_pause_taken_back_while_its_owner_carries_it_out_is_not_slept_through(
    core: StateCore,
) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    await core.wishes.request_pause(TENANT, run_id, "lunch")
    run = await core.wishes.resume(TENANT, run_id, "once", GO)
    assert not run.pause_requested

    await append(core, held.lease, 1, RESTS, status=PAUSED)

    assert await state_of(core, run_id) == RunStatus.STATE_QUEUED
    assert (await take_one(core)).resumed == GO


async def test_a_pause_asked_for_again_after_it_was_taken_back_holds(core: StateCore) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    await core.wishes.request_pause(TENANT, run_id, "lunch")
    await core.wishes.resume(TENANT, run_id, "once", GO)
    await core.wishes.request_pause(TENANT, run_id, "tea")

    await append(core, held.lease, 1, RESTS, status=PAUSED)

    assert await state_of(core, run_id) == RunStatus.STATE_PAUSED


async def test_an_unknown_effect_is_not_passed_over_by_a_pause_taken_back(core: StateCore) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    await core.wishes.request_pause(TENANT, run_id, "lunch")
    await core.wishes.resume(TENANT, run_id, "once", GO)

    await append(core, held.lease, 1, RESTS, status=PARKED)

    run, _ = await core.runs.get(TENANT, run_id)
    assert run.status.state == RunStatus.STATE_PAUSED
    assert run.status.pause == IN_DOUBT
    settled = RunResumed(settlements=[Settlement(call_id="run.1.0", failure="given up")])
    await core.wishes.resume(TENANT, run_id, "twice", settled)
    assert (await take_one(core)).resumed == settled


async def test_a_paused_run_that_is_cancelled_is_handed_to_an_owner(core: StateCore) -> None:
    run_id = (await paused(core)).lease.run_id

    run = await core.wishes.request_cancel(TENANT, run_id, "enough")

    assert run.cancel_requested
    held = await take_one(core)
    assert held.lease.run_id == run_id
    assert held.cancel_reason == "enough"
    assert not held.pause_requested


async def test_a_resume_does_not_put_back_a_run_that_is_to_be_cancelled(core: StateCore) -> None:
    await create(core, "urgent", spec=RunSpec(agent="echo", priority=10))
    run_id = (await create(core, "plain")).run_id
    await core.wishes.request_cancel(TENANT, run_id, "enough")
    await core.wishes.request_pause(TENANT, run_id, "lunch")

    await core.wishes.resume(TENANT, run_id, "once", GO)

    held = await take_one(core)
    assert (held.lease.run_id, held.cancel_reason) == (run_id, "enough")
    assert not held.pause_requested


async def test_a_cancel_that_its_owner_missed_while_it_paused_is_not_lost(core: StateCore) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    await core.wishes.request_pause(TENANT, run_id, "lunch")
    await core.wishes.request_cancel(TENANT, run_id, "enough")

    await append(core, held.lease, 1, RESTS, status=PAUSED)

    assert (await take_one(core)).cancel_reason == "enough"


async def test_a_pause_outlives_its_owner(core: StateCore) -> None:
    run = await create(core)
    (old,), _ = await core.schedule.poll(by("one", 0.2), 1, 0)
    assert not old.owner_lost
    await core.wishes.request_pause(TENANT, run.run_id, "lunch")

    (held,), _ = await core.schedule.poll(by("two"), 1, 5)

    assert held.owner_lost
    assert held.pause_reason == "lunch"
    await create(core, "urgent", spec=RunSpec(agent="echo", priority=10))
    await core.leases.release([held.lease])
    # Which of the two comes first depends on which partition's announcement does.
    taken = [await take_one(core), await take_one(core)]
    (again,) = [one for one in taken if one.lease.run_id == run.run_id]
    assert not again.owner_lost, "it was handed back"
    assert again.pause_reason == "lunch"


async def test_a_paused_run_keeps_its_ledger(core: StateCore, engine: str) -> None:
    held = await claimed(core)
    effects = key(partition_of_run(held.lease.run_id), "effects", held.lease.run_id)
    ask(engine, "HSET", effects, "state:run.1.0", "unknown")
    ask(engine, "PEXPIRE", effects, 100_000)

    await append(core, held.lease, 1, RESTS, status=PARKED)

    assert ask(engine, "PTTL", effects) == -1


async def test_reasons_and_findings_are_bounded(core: StateCore) -> None:
    run = await create(core, spec=SPEC)

    with pytest.raises(PayloadTooLarge):
        await core.wishes.request_pause(TENANT, run.run_id, "x" * 1025)
    with pytest.raises(PayloadTooLarge):
        await core.wishes.resume(TENANT, run.run_id, "once", RunResumed(reason="x" * 1024 * 1024))


async def test_many_resumes_are_not_kept_for_ever(core: StateCore, engine: str) -> None:
    run_id = (await create(core)).run_id
    for i in range(70):
        await core.wishes.request_pause(TENANT, run_id, "lunch")
        await core.wishes.resume(TENANT, run_id, f"r{i}", GO)

    kept = ask(engine, "HSTRLEN", key(partition_of_run(run_id), "run", run_id), "resumes")

    assert kept == 64 * 17
