"""Who goes first: priority, then tenants in turns, then age; and what waits for its start."""

import asyncio
import itertools
import time
from collections import Counter

import pytest
from harness.engines import ask
from harness.runs import NOTHING, SPEC, TENANT, by, claimed, create

from pentad.state.v1.event_pb2 import RunCreated
from pentad.state.v1.run_pb2 import RunSpec, RunStatus
from pentad.state.v1.run_service_pb2 import ClaimedRun
from pentad_chassis.errors import Code, InvalidArgument
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.errors import ScheduleFull
from pentad_state.partitions import PARTITIONS, key, partition_of_run, run_id_for


def spec(*, priority: int = 0, in_s: float | None = None) -> RunSpec:
    wanted = RunSpec(agent="echo", input="hello", priority=priority)
    if in_s is not None:
        wanted.start_time.FromMilliseconds(int((time.time() + in_s) * 1000))
    return wanted


def in_one_partition(tenant: str, count: int) -> list[str]:
    """Requests whose runs live in partition 0."""
    names = (f"q{i}" for i in itertools.count())
    found = (name for name in names if partition_of_run(run_id_for(tenant, name)) == 0)
    return list(itertools.islice(found, count))


async def take(core: StateCore, count: int, *, at_once: int = 1) -> list[ClaimedRun]:
    """Claim so many runs, a few with each poll."""
    taken: list[ClaimedRun] = []
    while len(taken) < count:
        runs, _ = await core.schedule.poll(by("one"), at_once, 5)
        assert runs, "there is work, and nobody else to take it"
        taken += runs
    return taken


def tenants_of(runs: list[ClaimedRun]) -> list[str]:
    return [run.events[0].run_created.tenant for run in runs]


def requests_of(runs: list[ClaimedRun]) -> list[str]:
    return [run.lease.run_id for run in runs]


@pytest.mark.parametrize("at_once", [1, 7, 60])
async def test_a_tenant_with_a_thousand_runs_does_not_keep_others_waiting(
    core: StateCore, at_once: int
) -> None:
    await asyncio.gather(*(create(core, f"r{i}", tenant="a") for i in range(1000)))
    for tenant in ("b", "c"):
        await asyncio.gather(*(create(core, f"r{i}", tenant=tenant) for i in range(10)))
    urgent = [
        (await create(core, f"u{i}", tenant="a", spec=spec(priority=5))).run_id for i in range(3)
    ]

    taken = await take(core, 63, at_once=at_once)

    assert {*requests_of(taken)[:3]} == {*urgent}
    turns = tenants_of(taken)[3:63]
    assert Counter(turns) == {"a": 40, "b": 10, "c": 10}
    assert {*turns[:12]} == {"a", "b", "c"}, "they take turns from the beginning on"


async def test_in_one_partition_tenants_take_turns_too(core: StateCore) -> None:
    for request in in_one_partition("a", 30):
        await create(core, request, tenant="a")
    for request in in_one_partition("b", 5):
        await create(core, request, tenant="b")

    # However little is looked at, and whoever looks, all tenants come into view.
    (view,) = (await core.leases.peek([0], 12)).values()

    assert "".join(c.tenant for c in view.candidates) == "aabababababa"


async def test_one_who_comes_again_and_again_does_not_overtake_one_who_waits(
    core: StateCore,
) -> None:
    patient = in_one_partition("patient", 3)
    for request in patient:
        await create(core, request, tenant="patient")

    served = Counter[str]()
    for i in range(12):
        newcomer = f"new-{i}"
        await create(core, in_one_partition(newcomer, 1)[0], tenant=newcomer)
        served.update(tenants_of(await take(core, 1)))

    assert served["patient"] == 3


async def test_runs_of_a_tenant_go_by_priority_then_age(core: StateCore) -> None:
    wanted = [0, -10, 3, 10, 0, 3, -10, 10]
    made: dict[int, list[str]] = {}
    for i, priority in enumerate(wanted):
        run = await create(core, f"r{i}", spec=spec(priority=priority))
        made.setdefault(priority, []).append(run.run_id)
        await asyncio.sleep(0.003)

    taken = requests_of(await take(core, len(wanted)))

    assert taken == made[10] + made[3] + made[0] + made[-10]


async def test_a_released_run_goes_ahead_of_new_ones_of_its_priority_only(core: StateCore) -> None:
    held = await claimed(core, "old")
    other = await create(core, "other", tenant="other")
    urgent = await create(core, "urgent", spec=spec(priority=1))

    await core.leases.release([held.lease])

    taken = requests_of(await take(core, 3))
    assert taken == [urgent.run_id, held.lease.run_id, other.run_id]


async def test_a_priority_is_within_its_bounds(core: StateCore) -> None:
    for priority in (-11, 11):
        with pytest.raises(InvalidArgument) as caught:
            await create(core, spec=spec(priority=priority))
        assert [v.field for v in caught.value.violations] == ["created.spec.priority"]


async def test_a_delayed_run_is_handed_out_at_its_time(core: StateCore) -> None:
    await core.schedule.poll(by("one"), 1, 0)  # the first look is at everything
    waiting = asyncio.create_task(core.schedule.poll(by("one"), 1, 10))
    await asyncio.sleep(0.05)
    wanted = spec(in_s=1.3)
    starts_at = wanted.start_time.ToMilliseconds() / 1000

    run = await create(core, spec=wanted)

    assert run.status.state == RunStatus.STATE_QUEUED
    (held,), _ = await waiting
    late_s = time.time() - starts_at
    assert held.lease.run_id == run.run_id
    assert 0 <= late_s < 0.25  # some 10 ms on a machine that has nothing else to do


async def test_many_delayed_runs_begin_in_order(core: StateCore) -> None:
    late = await create(core, "late", spec=spec(in_s=0.5))
    soon = await create(core, "soon", spec=spec(in_s=0.2))
    now = await create(core, "now")

    taken = []
    for _ in range(3):
        runs, _ = await core.schedule.poll(by("one"), 3, 5)
        taken += requests_of(runs)

    assert taken == [now.run_id, soon.run_id, late.run_id]


async def test_a_delayed_run_begins_though_everybody_was_restarted(
    core: StateCore, engine: str
) -> None:
    wanted = spec(in_s=0.6)
    run = await create(core, spec=wanted)
    await core.schedule.poll(by("one"), 1, 0)

    async with open_core(engine, Config(), silent_telemetry("state")) as other:
        (held,), _ = await other.schedule.poll(by("two"), 1, 10)

    assert held.lease.run_id == run.run_id
    assert 0 <= time.time() - wanted.start_time.ToMilliseconds() / 1000 < 0.25


async def test_a_delayed_run_is_not_claimed_by_its_creator(core: StateCore) -> None:
    made = RunCreated(tenant=TENANT, spec=spec(in_s=600))

    run, held, created = await core.runs.create("r1", b"", made, by("one"))

    assert (held, created) == (None, True)
    assert run.status.state == RunStatus.STATE_QUEUED
    assert await core.schedule.poll(by("one"), 1, 0) == ([], NOTHING)


async def test_a_start_in_the_past_is_now_and_one_too_far_is_refused(core: StateCore) -> None:
    run = await create(core, "past", spec=spec(in_s=-3600))
    with pytest.raises(InvalidArgument) as caught:
        await create(core, "far", spec=spec(in_s=367 * 24 * 3600))
    assert [v.field for v in caught.value.violations] == ["created.spec.start_time"]

    assert requests_of(await take(core, 1)) == [run.run_id]


async def test_a_delayed_run_can_be_cancelled_before_its_time(core: StateCore) -> None:
    run = await create(core, spec=spec(in_s=600))

    await core.wishes.request_cancel(TENANT, run.run_id, "enough")

    (held,) = await take(core, 1)
    assert held.cancel_reason == "enough"


async def test_a_full_schedule_refuses_and_takes_again_when_there_is_room(engine: str) -> None:
    ask(engine, "FLUSHALL")
    config = Config(max_queued=2 * PARTITIONS)
    a, b, c, d = in_one_partition(TENANT, 4)
    async with open_core(engine, config, silent_telemetry("state")) as core:
        await create(core, a)
        await create(core, b, spec=spec(in_s=600))

        with pytest.raises(ScheduleFull) as caught:
            await create(core, c)
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert caught.value.retry_after_s
        await create(core, b, spec=spec(in_s=600))  # a repeat finds its run
        made = RunCreated(tenant=TENANT, spec=SPEC)
        _, held, _ = await core.runs.create(d, b"", made, by("one"))
        assert held is not None, "it does not wait"

        assert len(await take(core, 1)) == 1
        await create(core, c)


async def test_turns_that_are_over_are_forgotten(core: StateCore, engine: str) -> None:
    for i in range(40):
        tenant = f"t{i}"
        await create(core, in_one_partition(tenant, 1)[0], tenant=tenant)
        await take(core, 1)

    turns = ask(engine, "ZCARD", key(0, "turns"))
    assert isinstance(turns, int)
    assert turns <= 2
