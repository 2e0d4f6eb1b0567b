"""A run that waits is nobody's, and goes on as soon as there is something for it."""

import asyncio

import pytest
from harness.engines import ask
from harness.runs import (
    COMPLETED,
    DONE,
    NOTHING,
    STARTED,
    TENANT,
    WAITING,
    WAITS,
    append,
    by,
    claimed,
    create,
    numbers,
    tail,
    waiting,
    word,
)

from pentad.state.v1.event_pb2 import RunResumed
from pentad.state.v1.run_pb2 import RunSpec, RunStatus, Waiting
from pentad.state.v1.run_service_pb2 import ClaimedRun
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.appends import Beside
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.errors import RunNotPaused, ScheduleFull, StaleFence
from pentad_state.partitions import PARTITIONS, key, partition_of_run, run_id_for

LONG_S = 600.0


async def take_one(core: StateCore) -> ClaimedRun:
    (held,), _ = await core.schedule.poll(by("two"), 1, 5)
    return held


async def state_of(core: StateCore, run_id: str) -> RunStatus.State.ValueType:
    return (await core.runs.get(TENANT, run_id))[0].status.state


async def test_a_waiting_run_is_held_by_nobody_and_has_not_ended(
    core: StateCore, engine: str
) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    effects = key(partition_of_run(run_id), "effects", run_id)
    ask(engine, "HSET", effects, "state:run.1.0", "unknown")
    ask(engine, "PEXPIRE", effects, 100_000)
    for_whom = Waiting(approval_ids=["a"], child_run_ids=["c"])
    status = RunStatus(state=RunStatus.STATE_WAITING, waiting=for_whom)

    await append(core, held.lease, 1, STARTED, WAITS, status=status)

    run, _ = await core.runs.get(TENANT, run_id)
    assert run.status == status
    assert not run.HasField("end_time")
    p = partition_of_run(run_id)
    for kind in ("ready", "leases", "due", "wakes", "ended"):
        assert ask(engine, "ZCARD", key(p, kind)) == 0, kind
    assert ask(engine, "PTTL", key(p, "run", run_id)) == -1
    assert ask(engine, "PTTL", effects) == -1, "it may wait longer than a ledger lives"
    assert await core.schedule.poll(by("two"), 1, 1.2) == ([], NOTHING)
    assert await core.leases.renew(by("one"), [held.lease]) == ([run_id], NOTHING, [])
    with pytest.raises(StaleFence):
        await append(core, held.lease, 3, DONE, status=COMPLETED)
    waited = await core.tails.wait(TENANT, run_id, 0.1)
    assert waited.status.state == RunStatus.STATE_WAITING
    listed, _ = await core.runs.list_runs(TENANT, RunStatus.STATE_WAITING, "", 10, "")
    assert [each.run_id for each in listed] == [run_id]


async def test_a_signal_puts_it_ahead_of_what_was_never_begun(core: StateCore) -> None:
    run_id = await waiting(core)
    await create(core, "plain")

    await core.wishes.signal(TENANT, run_id, "s", word(4))

    assert await state_of(core, run_id) == RunStatus.STATE_QUEUED
    found, _ = await core.schedule.poll(by("two"), 2, 5)
    mine = next(held for held in found if held.lease.run_id == run_id)
    assert numbers(mine.signals) == [4]
    assert not mine.owner_lost
    assert not (await core.runs.get(TENANT, run_id))[0].status.HasField("waiting")


async def test_somebody_who_polls_hears_of_it_at_once(core: StateCore) -> None:
    run_id = await waiting(core)
    polling = asyncio.create_task(core.schedule.poll(by("two"), 1, 10))
    await asyncio.sleep(0)

    await core.wishes.signal(TENANT, run_id, "s", word(4))

    (held,), _ = await polling
    assert held.lease.run_id == run_id


async def test_it_goes_on_by_itself_when_its_time_has_come(core: StateCore, engine: str) -> None:
    run_id = await waiting(core, wake_s=0.3)

    held = await take_one(core)

    assert held.lease.run_id == run_id
    assert not held.HasField("signals")
    run, _ = await core.runs.get(TENANT, run_id)
    woken = run.status.state, run.status.HasField("waiting")
    assert woken == (RunStatus.STATE_RUNNING, False)
    assert ask(engine, "ZCARD", key(partition_of_run(run_id), "wakes")) == 0


async def test_a_time_that_has_passed_is_not_waited_for(core: StateCore) -> None:
    run_id = await waiting(core, wake_s=-1)

    assert await state_of(core, run_id) == RunStatus.STATE_QUEUED
    assert (await take_one(core)).lease.run_id == run_id


async def test_those_whose_time_has_come_go_in_the_order_of_their_levels(
    core: StateCore,
) -> None:
    first = await waiting(core, "first", wake_s=0.2)
    second = await waiting(core, "second", wake_s=0.4)
    far = await waiting(core, "far", wake_s=LONG_S)

    taken = [(await take_one(core)).lease.run_id for _ in range(2)]

    assert sorted(taken) == sorted([first, second])
    assert await state_of(core, far) == RunStatus.STATE_WAITING


async def test_a_signal_before_its_time_leaves_no_second_turn(core: StateCore, engine: str) -> None:
    run_id = await waiting(core, wake_s=LONG_S)
    wakes = key(partition_of_run(run_id), "wakes")
    assert ask(engine, "ZCARD", wakes) == 1

    await core.wishes.signal(TENANT, run_id, "s", word(1))

    assert ask(engine, "ZCARD", wakes) == 0
    held = await take_one(core)
    await append(core, held.lease, held.last_seq, DONE, status=COMPLETED)
    assert await core.schedule.poll(by("two"), 1, 0) == ([], NOTHING)


async def test_what_came_before_it_waits_is_not_slept_through(core: StateCore) -> None:
    told = await claimed(core, "told")
    await core.wishes.signal(TENANT, told.lease.run_id, "s", word(1))
    await core.wishes.signal(TENANT, told.lease.run_id, "t", word(2))
    heard = Beside(heard=1)
    await append(core, told.lease, 1, WAITS, status=WAITING, beside=heard)
    assert await state_of(core, told.lease.run_id) == RunStatus.STATE_QUEUED
    taken = await take_one(core)
    assert (taken.signals.first, numbers(taken.signals)) == (2, [2])

    cancelled = await claimed(core, "cancelled")
    await core.wishes.request_cancel(TENANT, cancelled.lease.run_id, "enough")
    await append(core, cancelled.lease, 1, WAITS, status=WAITING)
    assert (await take_one(core)).cancel_reason == "enough"

    paused = await claimed(core, "paused")
    await core.wishes.request_pause(TENANT, paused.lease.run_id, "lunch")
    await append(core, paused.lease, 1, WAITS, status=WAITING)
    assert (await take_one(core)).pause_reason == "lunch"


async def test_what_it_has_heard_does_not_wake_it(core: StateCore) -> None:
    held = await claimed(core)
    await core.wishes.signal(TENANT, held.lease.run_id, "s", word(1))

    heard = Beside(heard=1)
    await append(core, held.lease, 1, WAITS, status=WAITING, beside=heard)

    assert await state_of(core, held.lease.run_id) == RunStatus.STATE_WAITING


async def test_a_waiting_run_that_is_cancelled_is_handed_to_an_owner(core: StateCore) -> None:
    run_id = await waiting(core, wake_s=LONG_S)

    run = await core.wishes.request_cancel(TENANT, run_id, "enough")

    assert run.cancel_requested
    held = await take_one(core)
    assert (held.lease.run_id, held.cancel_reason) == (run_id, "enough")


async def test_a_waiting_run_that_is_to_rest_is_handed_to_an_owner(core: StateCore) -> None:
    run_id = await waiting(core, wake_s=LONG_S)

    run = await core.wishes.request_pause(TENANT, run_id, "lunch")

    assert run.pause_requested
    held = await take_one(core)
    assert (held.lease.run_id, held.pause_reason) == (run_id, "lunch")


async def test_a_waiting_run_is_not_resumed_and_its_pause_is_taken_back(core: StateCore) -> None:
    run_id = await waiting(core)
    go = RunResumed(reason="go")
    with pytest.raises(RunNotPaused):
        await core.wishes.resume(TENANT, run_id, "once", go)

    await core.wishes.request_pause(TENANT, run_id, "lunch")
    run = await core.wishes.resume(TENANT, run_id, "once", go)

    assert not run.pause_requested
    held = await take_one(core)
    assert not held.pause_requested
    assert not held.HasField("resumed")


async def test_a_tail_goes_on_through_it(core: StateCore) -> None:
    run_id = await waiting(core)
    following = asyncio.create_task(tail(core, run_id))

    await core.wishes.signal(TENANT, run_id, "s", word(1))
    held = await take_one(core)
    end = Beside(heard=1)
    await append(core, held.lease, held.last_seq, word(1), DONE, status=COMPLETED, beside=end)

    kinds = [event.WhichOneof("kind") for event in await following]
    assert kinds == ["run_created", "run_started", "run_waiting", "child_ended", "run_completed"]


async def test_runs_that_wait_leave_room_in_the_schedule(engine: str) -> None:
    ask(engine, "FLUSHALL")
    small = Config(max_queued=PARTITIONS)  # one run a partition
    async with open_core(engine, small, silent_telemetry("state")) as core:
        run_id = await waiting(core, wake_s=LONG_S)
        same = [
            f"r{n}"
            for n in range(2, 1000)
            if partition_of_run(run_id_for(TENANT, f"r{n}")) == partition_of_run(run_id)
        ][:2]

        await create(core, same[0])
        with pytest.raises(ScheduleFull):
            await create(core, same[1])


async def test_a_run_that_wakes_keeps_its_priority(core: StateCore) -> None:
    urgent = await create(core, "urgent", spec=RunSpec(agent="echo", priority=10))
    (held,), _ = await core.schedule.poll(by("one"), 1, 5)
    await append(core, held.lease, 1, STARTED, WAITS, status=WAITING)
    plain = await waiting(core, "plain")
    for run_id in (plain, urgent.run_id):
        await core.wishes.signal(TENANT, run_id, "s", word(1))
    core.schedule.missed()  # look everywhere, and not only where the first announcement was

    held = await take_one(core)

    assert held.lease.run_id == urgent.run_id
