"""What the store promises about leases, and how work finds those who wait for it."""

import asyncio
import time

import pytest
from harness.engines import ask
from harness.runs import (
    COMPLETED,
    DONE,
    NOTHING,
    STARTED,
    TENANT,
    TURN,
    append,
    by,
    claimed,
    create,
    seconds,
)

from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import Claim
from pentad_chassis.errors import InvalidArgument
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.errors import StaleFence
from pentad_state.partitions import key, partition_of_run


async def test_a_claim_hands_out_the_run_with_its_journal(core: StateCore) -> None:
    run = await create(core)

    (held,), asked = await core.schedule.poll(by("one"), 10, 0)

    assert asked == NOTHING
    assert held.lease.run_id == run.run_id
    assert held.lease.fence == 1
    assert held.last_seq == 1
    assert [event.WhichOneof("kind") for event in held.events] == ["run_created"]
    assert held.events[0].run_created.spec == run.spec
    assert not held.cancel_requested
    assert (await core.schedule.poll(by("two"), 10, 0)) == ([], NOTHING)
    now, _ = await core.runs.get(TENANT, run.run_id)
    assert now.status.state == RunStatus.STATE_RUNNING


async def test_the_oldest_run_is_handed_out_first(core: StateCore) -> None:
    made = []
    for i in range(5):
        made.append((await create(core, f"r{i}")).run_id)
        await asyncio.sleep(0.003)

    taken = []
    for _ in range(5):
        (held,), _ = await core.schedule.poll(by("one"), 1, 0)
        taken.append(held.lease.run_id)

    assert taken == made


async def test_a_poll_that_waits_is_woken_by_new_work(core: StateCore) -> None:
    await core.schedule.poll(by("one"), 1, 0)  # the first look is at everything
    waiting = asyncio.create_task(core.schedule.poll(by("one"), 1, 10))
    await asyncio.sleep(0.05)

    begun = time.monotonic()
    run = await create(core)
    (held,), _ = await waiting

    assert held.lease.run_id == run.run_id
    assert time.monotonic() - begun < 0.5


async def test_a_poll_returns_empty_handed_after_its_wait(core: StateCore) -> None:
    begun = time.monotonic()

    assert await core.schedule.poll(by("one"), 1, 0.2) == ([], NOTHING)

    assert 0.2 <= time.monotonic() - begun < 1


async def test_work_is_shared_among_those_who_wait(core: StateCore) -> None:
    await core.schedule.poll(by("one"), 1, 0)
    polls = [asyncio.create_task(core.schedule.poll(by(f"o{i}"), 10, 5)) for i in range(4)]
    await asyncio.sleep(0.05)

    await asyncio.gather(*(create(core, f"r{i}") for i in range(8)))
    results = await asyncio.gather(*polls)

    counts = [len(runs) for runs, _ in results]
    assert sum(counts) <= 8
    assert all(counts), counts
    taken = [held.lease.run_id for runs, _ in results for held in runs]
    assert len(set(taken)) == len(taken)


async def test_an_expired_lease_is_taken_over_within_a_second_and_fences_off_the_old_owner(
    core: StateCore,
) -> None:
    run = await create(core)
    (old,), _ = await core.schedule.poll(by("one", 0.3), 1, 0)
    await append(core, old.lease, 1, STARTED, TURN)

    begun = time.monotonic()
    (new,), _ = await core.schedule.poll(by("two"), 1, 10)

    assert 0.1 < time.monotonic() - begun < 1.5
    assert new.lease.run_id == run.run_id
    assert new.lease.fence == old.lease.fence + 1
    assert [event.seq for event in new.events] == [1, 2, 3]
    with pytest.raises(StaleFence):
        await append(core, old.lease, 3, DONE, status=COMPLETED)
    lost, *_ = await core.leases.renew(by("one"), [old.lease, new.lease])
    assert lost == [run.run_id]


async def test_a_renewed_lease_does_not_expire(core: StateCore) -> None:
    await create(core)
    (held,), _ = await core.schedule.poll(by("one", 0.3), 1, 0)

    for _ in range(4):
        await asyncio.sleep(0.15)
        assert await core.leases.renew(by("one", 0.3), [held.lease]) == ([], NOTHING, [])
        assert await core.schedule.poll(by("two"), 1, 0) == ([], NOTHING)


async def test_an_owner_may_go_on_with_an_expired_lease_that_nobody_took(core: StateCore) -> None:
    await create(core)
    (held,), _ = await core.schedule.poll(by("one", 0.05), 1, 0)
    await asyncio.sleep(0.1)

    await append(core, held.lease, 1, STARTED)

    assert await core.leases.renew(by("one"), [held.lease]) == ([], NOTHING, [])
    assert await core.schedule.poll(by("two"), 1, 0) == ([], NOTHING)


async def test_a_released_run_is_handed_out_before_newer_ones(core: StateCore) -> None:
    held = await claimed(core, "old")
    await asyncio.sleep(0.003)
    newer = await create(core, "new")

    await core.leases.release([held.lease])
    await core.leases.release([held.lease])  # a repeat changes nothing

    run, _ = await core.runs.get(TENANT, held.lease.run_id)
    assert run.status.state == RunStatus.STATE_QUEUED
    with pytest.raises(StaleFence):
        await append(core, held.lease, 1, TURN)
    taken = [(await core.schedule.poll(by("two"), 1, 1))[0][0].lease for _ in range(2)]
    assert [lease.run_id for lease in taken] == [held.lease.run_id, newer.run_id]
    assert taken[0].fence == held.lease.fence + 1


async def test_runs_whose_keys_are_gone_are_offered_once_and_never_again(
    core: StateCore, engine: str
) -> None:
    waiting = await create(core, "waiting")
    held = await claimed(core, "held")
    for run_id in (waiting.run_id, held.lease.run_id):
        p = partition_of_run(run_id)
        ask(engine, "DEL", key(p, "run", run_id), key(p, "journal", run_id))
        ask(engine, "ZADD", key(p, "leases"), 1, held.lease.run_id)

    assert await core.schedule.poll(by("two"), 10, 1.2) == ([], NOTHING)

    for run_id in (waiting.run_id, held.lease.run_id):
        p = partition_of_run(run_id)
        assert ask(engine, "ZSCORE", key(p, "ready"), run_id) is None
        assert ask(engine, "ZSCORE", key(p, "leases"), run_id) is None


async def test_an_owner_hears_of_a_cancel_at_once(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    other = asyncio.create_task(core.schedule.poll(by("two"), 0, 0.5))
    waiting = asyncio.create_task(core.schedule.poll(by("one"), 0, 10))
    await asyncio.sleep(0.05)

    begun = time.monotonic()
    await core.wishes.request_cancel(TENANT, held.lease.run_id, "enough")
    runs, asked = await waiting

    assert time.monotonic() - begun < 0.5
    assert runs == []
    assert [(c.run_id, c.reason) for c in asked.cancels] == [(held.lease.run_id, "enough")]
    assert await other == ([], NOTHING)


async def test_a_cancel_between_two_polls_comes_with_the_next(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    await core.schedule.poll(by("one"), 0, 0)

    await core.wishes.request_cancel(TENANT, held.lease.run_id, "enough")
    await asyncio.sleep(0.05)
    _, asked = await core.schedule.poll(by("one"), 0, 0)

    assert [c.run_id for c in asked.cancels] == [held.lease.run_id]
    assert await core.schedule.poll(by("one"), 0, 0) == ([], NOTHING)


async def test_a_queued_run_that_is_to_be_cancelled_is_handed_out_first(core: StateCore) -> None:
    await create(core, "old")
    await asyncio.sleep(0.003)
    run = await create(core, "young")

    await core.wishes.request_cancel(TENANT, run.run_id, "enough")
    (held,), _ = await core.schedule.poll(by("one"), 1, 0)

    assert held.lease.run_id == run.run_id
    assert held.cancel_requested
    assert held.cancel_reason == "enough"


async def test_many_owners_never_hold_one_run_together(core: StateCore) -> None:
    for i in range(60):
        await create(core, f"r{i}")

    results = await asyncio.gather(*(core.schedule.poll(by(f"o{i}"), 20, 1) for i in range(8)))

    taken = [held.lease.run_id for runs, _ in results for held in runs]
    assert len(taken) == len(set(taken))
    while runs := (await core.schedule.poll(by("last"), 20, 0))[0]:
        taken += [held.lease.run_id for held in runs]
    assert len(taken) == len(set(taken)) == 60


async def test_replicas_of_the_service_never_hand_out_one_run_twice(
    core: StateCore, engine: str
) -> None:
    async with open_core(engine, Config(), silent_telemetry("state")) as other:
        for i in range(60):
            await create(core, f"r{i}")

        polls = [each.schedule.poll(by("one"), 60, 0) for each in (core, other, core, other)]
        taken = [held.lease.run_id for runs, _ in await asyncio.gather(*polls) for held in runs]

    assert len(taken) == len(set(taken)) == 60


async def test_a_claim_has_an_owner_and_an_end(core: StateCore) -> None:
    for claim in (
        Claim(lease=seconds(1)),
        Claim(owner="one"),
        Claim(owner="one", lease=seconds(-1)),
        Claim(owner="one", lease=seconds(601)),
    ):
        with pytest.raises(InvalidArgument):
            await core.schedule.poll(claim, 1, 0)
