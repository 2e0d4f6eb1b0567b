"""Schedules as callers have them: created, updated, triggered, deleted, and never half."""

import pytest
from unit.orchestrator.schedule_world import NOON, TENANT, Crash, World, cron, every

from pentad_chassis.errors import InvalidArgument, ServiceError
from pentad_orchestrator.errors import (
    AgentNotFound,
    BackfillsFull,
    RequestIdReused,
    ScheduleAlreadyExists,
    ScheduleInvalid,
    ScheduleNotFound,
    VersionMismatch,
)
from pentad_orchestrator.schedules.backfills import BACKFILLS, Range


@pytest.fixture
def world() -> World:
    return World()


async def test_a_created_schedule_shows_its_next_times(world: World) -> None:
    made = await world.create(cron("0 9 * * *", "Europe/Berlin"))
    (listed,) = (await world.core.list_page(TENANT, 0, "")).schedules

    assert [time.seconds for time in made.next_times] == [
        int(NOON) - 4 * 3600 + day * 86_400 for day in range(1, 6)
    ]
    assert made.create_time.seconds == NOON
    assert listed.next_times[0] == made.next_times[0]
    assert len(listed.next_times) == 1
    assert made == await world.core.get(TENANT, "tick")


async def test_a_repeated_creation_is_the_first_one(world: World) -> None:
    made = await world.create(every(10))
    world.clock.advance(5)

    assert await world.create(every(10)) == made
    with pytest.raises(RequestIdReused):
        await world.create(every(11))
    with pytest.raises(ScheduleAlreadyExists):
        await world.core.create(TENANT, every(10), "r2")


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        (cron("0 0 30 2 *"), "schedule.cron"),
        (cron("0 0 */31 2 SUN#5"), "schedule.cron"),
        (cron("0 0 * * *", "Mars/Olympus"), "schedule.time_zone"),
        (every(0), "schedule.interval.every"),
        (every(60, end_time="2027-01-15T12:00:30Z"), "schedule.end_time"),
    ],
)
async def test_what_would_never_fire_is_refused_and_nothing_is_done(
    world: World, schedule: object, field: str
) -> None:
    with pytest.raises(ScheduleInvalid) as refused:
        await world.create(schedule)  # type: ignore[arg-type]

    (violation,) = refused.value.violations
    assert violation.field == field
    assert violation.description.startswith("must ")
    assert not world.entries.entries
    assert not world.jobs.kept


async def test_a_schedule_of_an_unknown_agent_is_refused(world: World) -> None:
    nobody = every(10, spec={"agent": "nobody", "input": "hello"})
    with pytest.raises(AgentNotFound):
        await world.create(nobody)
    await world.create(every(10))
    with pytest.raises(AgentNotFound):
        await world.core.update(TENANT, nobody, 0)

    assert (await world.core.get(TENANT, "tick")).generation == int(NOON * 1000)


async def test_an_update_changes_the_generation_and_what_comes(world: World) -> None:
    made = await world.create(every(10, overlap="OVERLAP_ALLOW"))
    await world.pass_time(15)
    updated = await world.core.update(TENANT, every(4, overlap="OVERLAP_ALLOW"), made.generation)
    await world.pass_time(6)

    assert updated.generation == made.generation + 1
    assert updated.started_runs == 1
    batches = [request_id.split("/")[2] for request_id, _ in world.runs.asks]
    assert batches == [str(made.generation), *[str(updated.generation)] * 2]
    assert [asked[-8:-6] for asked in world.asked] == ["10", "16", "20"]


async def test_an_update_that_changes_nothing_is_not_recorded(world: World) -> None:
    made = await world.create(every(10, end_time="2027-01-15T12:05:00Z"))
    await world.core.pause(TENANT, "tick")
    world.sleep(1000)
    same = await world.core.update(TENANT, every(10, end_time="2027-01-15T12:05:00Z"), 77)

    assert same.generation == made.generation
    assert same.paused, "only a person who resumes it does that"


async def test_an_update_of_another_generation_is_refused(world: World) -> None:
    made = await world.create(every(10))
    with pytest.raises(VersionMismatch):
        await world.core.update(TENANT, every(20), made.generation - 1)

    assert await world.core.get(TENANT, "tick") == made


async def test_an_update_of_what_is_asked_misses_no_time(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    world.sleep(10)
    spec = {"agent": "clock", "input": "now {time}"}
    await world.core.update(TENANT, every(10, overlap="OVERLAP_ALLOW", spec=spec), 0)
    await world.pass_time(0)

    assert world.asked == ["now 2027-01-15T12:00:10+00:00"]


async def test_a_run_that_was_decided_is_created_before_an_update(world: World) -> None:
    """Its request id must never come with another spec."""
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    world.sleep(10)
    (claimed,) = await world.claim()
    world.cuts.at.add((world.cuts.calls + 2, "after"))
    with pytest.raises(Crash):
        await world.firings.fire(claimed)
    assert await world.told() == [("12:00:10", "starting")]
    spec = {"agent": "clock", "input": "new {time}"}
    await world.core.update(TENANT, every(10, overlap="OVERLAP_ALLOW", spec=spec), 0)
    await world.pass_time(10)

    assert world.asked == ["2027-01-15T12:00:10+00:00", "new 2027-01-15T12:00:20+00:00"]


async def test_a_trigger_starts_one_run_now_also_in_a_pause(world: World) -> None:
    await world.create(every(10, paused=True))
    await world.pass_time(3)
    first = await world.core.trigger(TENANT, "tick", "t1")
    await world.pass_time(2)
    again = await world.core.trigger(TENANT, "tick", "t1")
    other = await world.core.trigger(TENANT, "tick", "t2")

    assert first == again != other
    assert [asked[-8:-6] for asked in world.asked] == ["03", "05"]
    assert await world.told() == [("12:00:03", "started"), ("12:00:05", "started")]


async def test_a_triggered_run_counts_as_the_one_before(world: World) -> None:
    await world.create(every(10))
    await world.pass_time(5)
    run_id = await world.core.trigger(TENANT, "tick", "t1")
    await world.pass_time(5)
    world.runs.end(run_id)
    await world.pass_time(10)

    assert [outcome for _, outcome in await world.told()] == [
        "started",
        "skipped OVERLAP",
        "started",
    ]


async def test_a_trigger_that_fails_says_why_as_itself(world: World) -> None:
    await world.create(every(10))
    refusal = InvalidArgument("larger than that")
    refusal.reason = "PAYLOAD_TOO_LARGE"
    world.runs.refuses = refusal
    for _ in range(2):
        with pytest.raises(InvalidArgument, match="larger than that") as refused:
            await world.core.trigger(TENANT, "tick", "t1")
        assert refused.value.reason == "PAYLOAD_TOO_LARGE"


async def test_a_trigger_that_was_cut_short_is_looked_after(world: World) -> None:
    await world.create(every(1000))
    world.cuts.at.add((world.cuts.calls + 4, "after"))
    with pytest.raises(Crash):
        await world.core.trigger(TENANT, "tick", "t1")
    assert not world.asked
    await world.pass_time(60)

    assert len(world.asked) == 1
    assert (await world.core.trigger(TENANT, "tick", "t1")) == world.runs.asks[0][0]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 6))
async def test_a_creation_that_is_cut_short_leaves_all_or_nothing(
    world: World, call: int, moment: str
) -> None:
    world.cuts.at.add((call, moment))
    try:
        await world.create(every(100, overlap="OVERLAP_ALLOW"))
    except Crash:
        exists = bool(world.entries.entries)
    else:
        exists = True
    await world.pass_time(350)

    assert len(world.asked) == (3 if exists else 0)
    if not exists:
        assert not world.jobs.kept


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 6))
async def test_an_update_that_is_cut_short_holds_or_does_not(
    world: World, call: int, moment: str
) -> None:
    """One that holds is not late, however far off the next time was before."""
    await world.create(every(86_400, overlap="OVERLAP_ALLOW"))
    world.cuts.at.add((world.cuts.calls + call, moment))
    with pytest.raises(Crash):
        await world.core.update(TENANT, every(100, overlap="OVERLAP_ALLOW"), 0)
    holds = (await world.core.get(TENANT, "tick")).interval.every.seconds == 100
    await world.pass_time(350)

    assert len(world.asked) == (3 if holds else 0)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", [1, 2])
async def test_a_deletion_that_is_cut_short_leaves_nothing_that_fires(
    world: World, call: int, moment: str
) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    world.cuts.at.add((world.cuts.calls + call, moment))
    with pytest.raises(Crash):
        await world.core.delete(TENANT, "tick")
    exists = bool(world.entries.entries)
    await world.pass_time(30)

    assert exists == ((call, moment) == (1, "before"))
    assert bool(world.asked) == exists
    assert bool(world.jobs.kept) == exists


async def test_a_schedule_created_anew_is_another_one(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    await world.pass_time(10)
    await world.core.delete(TENANT, "tick")
    await world.core.delete(TENANT, "tick")
    world.clock.advance(0.5)
    spec = {"agent": "clock", "input": "anew"}
    await world.core.create(TENANT, every(10, overlap="OVERLAP_ALLOW", spec=spec), "r9")
    past = Range(int(NOON + 10) * 1000, int(NOON + 10) * 1000)
    await world.core.backfill(TENANT, "tick", past, "b1")
    await world.pass_time(10)

    assert world.asked[1:] == ["anew", "anew"]


async def test_only_so_many_backfills_at_once(world: World) -> None:
    await world.create(every(10))
    past = Range(int(NOON - 30) * 1000, int(NOON - 10) * 1000)
    for number in range(BACKFILLS):
        await world.core.backfill(TENANT, "tick", past, f"b{number}")
    with pytest.raises(BackfillsFull):
        await world.core.backfill(TENANT, "tick", past, "one too many")
    world.runs.last_s = 1
    await world.pass_time(60)

    assert await world.core.backfill(TENANT, "tick", past, "now there is room") == 3


@pytest.mark.parametrize(("seconds", "field"), [((1, 9), "from_time"), ((-10_020, -10), "to_time")])
async def test_a_backfill_of_no_time_or_of_too_many_is_refused(
    world: World, seconds: tuple[int, int], field: str
) -> None:
    await world.create(every(10))
    begin, end = (int(NOON + each) * 1000 for each in seconds)
    with pytest.raises(ScheduleInvalid) as refused:
        await world.core.backfill(TENANT, "tick", Range(begin, end), "b1")

    assert [violation.field for violation in refused.value.violations] == [field]


async def test_what_is_not_there_is_said_to_be_missing(world: World) -> None:
    past = Range(0, 1)
    for asking in (
        world.core.get(TENANT, "tick"),
        world.core.update(TENANT, every(10), 0),
        world.core.pause(TENANT, "tick"),
        world.core.resume(TENANT, "tick"),
        world.core.trigger(TENANT, "tick", "t1"),
        world.core.backfill(TENANT, "tick", past, "b1"),
        world.core.firings(TENANT, "tick"),
    ):
        with pytest.raises(ScheduleNotFound):
            await asking
    assert not world.jobs.kept


async def test_tenants_do_not_see_each_other(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    await world.core.create("other", every(10, overlap="OVERLAP_ALLOW", paused=True), "r1")
    await world.pass_time(10)

    assert {run.tenant for run in world.runs.runs.values()} == {TENANT}
    with pytest.raises(ServiceError):
        await world.core.get("third", "tick")
