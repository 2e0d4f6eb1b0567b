"""Whatever dies whenever: each time is decided once, and starts at most the run it is to start."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.orchestrator.schedule_world import NOON, TENANT, Crash, World, cron, every

from pentad.orchestrator.v1.schedule_record_pb2 import RecordedFiring, ScheduleRecord
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_orchestrator.schedules.backfills import Range
from pentad_orchestrator.schedules.record import FIRINGS, log, starting
from pentad_orchestrator.schedules.timing import times_of

_CALLS = 120
_LASTS_S = 100

SCHEDULES = st.sampled_from(
    [every(5), every(3), cron("*/4 * * * * *"), cron("0,7,31 * * * * *", "Europe/Berlin")]
)
CRASHES = st.sets(st.tuples(st.integers(5, _CALLS), st.sampled_from(["before", "after"])))


def of(schedule: Schedule, **fields: object) -> Schedule:
    """Return a schedule with other fields."""
    changed = Schedule(**fields)  # type: ignore[arg-type]
    changed.MergeFrom(schedule)
    changed.catch_up.FromSeconds(600)
    return changed


def expected(schedule: Schedule) -> list[str]:
    """Return the times there are while a simulation lasts."""
    times, found = times_of(schedule), []
    at = times.after(int(NOON * 1000))
    while at is not None and at <= (NOON + _LASTS_S) * 1000:
        found.append(datetime.fromtimestamp(at / 1000, UTC).isoformat())
        at = times.after(at)
    return found


@settings(max_examples=40)
@given(SCHEDULES, CRASHES)
def test_firings_are_the_times_whatever_crashes(
    schedule: Schedule, crashes: set[tuple[int, str]]
) -> None:
    schedule = of(schedule, overlap=Schedule.OVERLAP_ALLOW)
    schedule.end_time.FromSeconds(int(NOON + _LASTS_S))

    async def play() -> World:
        world = World()
        await world.create(schedule)
        world.cuts.at = crashes
        await world.pass_time(_LASTS_S)
        world.cuts.at = set()
        await world.pass_time(60)
        return world

    world = asyncio.run(play())
    instants = [datetime.fromisoformat(asked).astimezone(UTC).isoformat() for asked in world.asked]
    assert instants == expected(schedule)


@settings(max_examples=40)
@given(
    SCHEDULES,
    CRASHES,
    st.sampled_from(
        [Schedule.OVERLAP_SKIP, Schedule.OVERLAP_QUEUE, Schedule.OVERLAP_CANCEL_RUNNING]
    ),
    st.integers(1, 30),
)
def test_no_two_runs_overlap_and_each_time_is_accounted_for(
    schedule: Schedule,
    crashes: set[tuple[int, str]],
    overlap: Schedule.Overlap.ValueType,
    lasts_s: int,
) -> None:
    schedule = of(schedule, overlap=overlap, queue_limit=3)
    seen: Counter[str] = Counter()

    async def play() -> World:
        world = World()
        world.runs.last_s = lasts_s
        await world.create(schedule)
        world.cuts.at = crashes
        while world.clock.now() < NOON + _LASTS_S:
            await world.pass_time(1)
            _check_overlap(world)
        world.cuts.at = set()
        await world.pass_time(30)
        for firing in await world.core.firings(TENANT, "tick"):
            if firing.time.ToMilliseconds() <= (NOON + _LASTS_S) * 1000:
                seen[firing.time.ToDatetime(tzinfo=UTC).isoformat()] += 1
        return world

    asyncio.run(play())
    assert dict(seen) == dict.fromkeys(expected(schedule), 1)


def _check_overlap(world: World) -> None:
    going_on = [run for run in world.runs.runs.values() if not run.HasField("end_time")]
    assert len(going_on) <= 1


@settings(max_examples=40)
@given(CRASHES)
def test_a_backfill_starts_each_of_its_times_once(crashes: set[tuple[int, str]]) -> None:
    async def play() -> World:
        world = World()
        world.runs.last_s = 1
        await world.create(every(10, paused=True))
        past = Range(int(NOON - 100) * 1000, int(NOON - 10) * 1000)
        world.cuts.at = crashes
        while True:
            try:
                assert await world.core.backfill(TENANT, "tick", past, "b1") == 10
                break
            except Crash:
                continue
        await world.pass_time(_LASTS_S)
        world.cuts.at = set()
        await world.pass_time(60)
        return world

    world = asyncio.run(play())
    assert len(world.asked) == len(set(world.asked)) == 10


def test_a_record_forgets_old_firings_and_none_that_is_starting() -> None:
    record = ScheduleRecord()
    for number in range(3 * FIRINGS):
        outcome = Firing.OUTCOME_STARTING if number < 10 else Firing.OUTCOME_STARTED
        log(record, RecordedFiring(firing=Firing(outcome=outcome), batch=str(number)))

    assert len(starting(record)) == 10
    assert len(record.firings) == FIRINGS
    assert record.firings[-1].batch == str(3 * FIRINGS - 1)
