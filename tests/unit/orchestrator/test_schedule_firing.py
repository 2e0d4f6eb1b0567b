"""What becomes of a schedule's times: each policy, outages, pauses, back-fills."""

from itertools import pairwise

import pytest
from unit.orchestrator.schedule_world import NOON, TENANT, World, cron, every

from pentad.state.v1.schedule_pb2 import Firing
from pentad_chassis.errors import InvalidArgument, Unavailable
from pentad_orchestrator.schedules.backfills import Range
from pentad_orchestrator.schedules.plan import STARTS_MAX
from pentad_orchestrator.schedules.record import FIRINGS


@pytest.fixture
def world() -> World:
    return World()


def times(*seconds: int) -> list[str]:
    """Return times behind noon as runs are told them."""
    return [f"2027-01-15T12:{s // 60:02d}:{s % 60:02d}+00:00" for s in seconds]


async def test_each_time_starts_one_run_that_is_told_the_time(world: World) -> None:
    made = await world.create(every(10, overlap="OVERLAP_ALLOW"))
    await world.pass_time(35)

    assert world.asked == times(10, 20, 30)
    (request_id, _), *_ = world.runs.asks
    assert request_id == f"pentad:schedule/tick/{made.generation}/{int(NOON + 10) * 1000}"
    assert await world.told() == [(f"12:00:{s}", "started") for s in (10, 20, 30)]
    assert world.due() == NOON + 40


async def test_the_time_is_told_in_the_zone_of_the_schedule(world: World) -> None:
    await world.create(cron("30 8 * * *", "America/New_York"))
    await world.pass_time(86_400)

    assert world.asked == ["2027-01-15T08:30:00-05:00"]


async def test_every_step_of_a_workflow_is_told_the_time(world: World) -> None:
    spec = {"agent": "clock", "input": "-", "multi_step": {"steps": [{"input": "at {time}"}]}}
    await world.create(every(10, spec=spec))
    await world.pass_time(10)

    (run,) = world.runs.runs.values()
    assert [step.input for step in run.spec.multi_step.steps] == [f"at {times(10)[0]}"]


async def test_jitter_delays_a_run_and_not_its_time(world: World) -> None:
    await world.create(every(60, jitter="30s", overlap="OVERLAP_ALLOW"))
    await world.pass_time(3600)

    starts = [run.create_time.ToMilliseconds() / 1000 for run in world.runs.runs.values()]
    delays = [start - NOON - 60 * (n + 1) for n, start in enumerate(starts)]
    assert world.asked[:3] == times(60, 120, 180)
    assert all(0 <= delay <= 30 for delay in delays)
    assert len(set(delays)) > 30


async def test_skip_lets_times_pass_while_the_run_before_goes_on(world: World) -> None:
    await world.create(every(10))
    await world.pass_time(25)
    world.runs.end(world.runs.asks[0][0])
    await world.pass_time(10)

    assert world.asked == times(10, 30)
    assert await world.told() == [
        ("12:00:10", "started"),
        ("12:00:20", "skipped OVERLAP"),
        ("12:00:30", "started"),
    ]


async def test_queue_starts_each_when_the_one_before_has_ended(world: World) -> None:
    world.runs.last_s = 25
    await world.create(every(10, overlap="OVERLAP_QUEUE", queue_limit=2, max_runs=6))
    await world.pass_time(200)

    assert world.asked == times(10, 20, 30, 40, 70, 90)
    starts = [run.create_time.ToMilliseconds() / 1000 for run in world.runs.runs.values()]
    assert all(later - sooner >= 25 for sooner, later in pairwise(starts))
    assert all(later - sooner <= 28 for sooner, later in pairwise(starts))
    skipped = [time for time, outcome in await world.told() if outcome == "skipped QUEUE_FULL"]
    assert skipped == ["12:00:50", "12:01:00", "12:01:20"]
    assert world.due() is None, "a schedule that has ended costs nothing"


async def test_those_that_wait_are_shown_first(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_QUEUE", queue_limit=5))
    await world.pass_time(35)

    assert await world.told() == [
        ("12:00:10", "started"),
        ("12:00:20", "waiting"),
        ("12:00:30", "waiting"),
    ]


async def test_cancel_running_starts_the_latest_once_the_one_before_has_ended(
    world: World,
) -> None:
    await world.create(every(10, overlap="OVERLAP_CANCEL_RUNNING"))
    await world.pass_time(32)
    first = world.runs.asks[0][0]

    assert world.asked == times(10)
    assert set(world.runs.cancelled) == {first}
    world.runs.end(first)
    await world.pass_time(5)

    assert world.asked == times(10, 30)
    assert await world.told() == [
        ("12:00:10", "started"),
        ("12:00:20", "skipped REPLACED"),
        ("12:00:30", "started"),
    ]


async def test_what_was_missed_within_the_window_is_made_up_for_in_order(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW", catch_up="25s"))
    await world.pass_time(10)
    world.sleep(101)
    await world.pass_time(0)

    assert world.asked == times(10, 90, 100, 110)
    assert (await world.told())[1] == ("12:00:20", "skipped MISSED")
    missed = (await world.core.firings(TENANT, "tick"))[-2]
    assert missed.until_time.seconds == NOON + 86


async def test_a_week_of_missed_seconds_costs_one_step(world: World) -> None:
    await world.create(every(1, overlap="OVERLAP_ALLOW", catch_up="10s"))
    world.sleep(7 * 86_400)
    await world.pass_time(0)

    assert len(world.asked) == 11
    assert [outcome for _, outcome in await world.told()] == ["skipped MISSED"] + ["started"] * 11


async def test_catching_up_is_done_in_pieces(world: World) -> None:
    """A job that lasted as long as it takes would keep its lease from others."""
    await world.create(every(1, overlap="OVERLAP_ALLOW", catch_up="3600s"))
    world.sleep(400)
    await world.work()
    begun = len(world.asked)
    await world.pass_time(0)

    assert 0 < begun <= 8 * STARTS_MAX
    assert world.asked == times(*range(1, 401))
    assert len(await world.core.firings(TENANT, "tick")) == FIRINGS


async def test_a_pause_lets_times_pass_for_good(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    await world.pass_time(15)
    paused = await world.core.pause(TENANT, "tick")
    await world.pass_time(20)
    resumed = await world.core.resume(TENANT, "tick")
    await world.pass_time(10)

    assert paused.paused
    assert not paused.next_times
    assert not resumed.paused
    assert resumed.next_times[0].seconds == NOON + 40
    assert world.asked == times(10, 40)


async def test_pausing_and_resuming_twice_changes_nothing(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    await world.core.pause(TENANT, "tick")
    paused = await world.core.pause(TENANT, "tick")
    await world.core.resume(TENANT, "tick")
    await world.pass_time(12)
    resumed = await world.core.resume(TENANT, "tick")
    await world.pass_time(10)

    assert paused.paused
    assert resumed.next_times[0].seconds == NOON + 20
    assert world.asked == times(10, 20)


async def test_a_backfill_starts_one_after_the_other_beside_the_times_that_come(
    world: World,
) -> None:
    world.runs.last_s = 5
    await world.create(every(10))
    past = Range(int(NOON - 40) * 1000, int(NOON - 20) * 1000)
    count = await world.core.backfill(TENANT, "tick", past, "b1")
    again = await world.core.backfill(TENANT, "tick", past, "b1")
    await world.pass_time(30)

    assert count == again == 3
    filled = [asked for asked in world.asked if asked.startswith("2027-01-15T11")]
    assert filled == [f"2027-01-15T11:59:{s}+00:00" for s in (20, 30, 40)]
    starts = [r.create_time.seconds for r in world.runs.runs.values() if r.spec.input in filled]
    assert all(later - sooner >= 5 for sooner, later in pairwise(starts))
    assert sorted(set(world.asked) - set(filled)) == times(10, 20, 30)
    assert await world.core.backfill(TENANT, "tick", past, "b1") == 3
    await world.pass_time(0)
    assert len(world.asked) == 6, "a repeat is the same back-fill, also when that is done"


async def test_a_backfill_where_runs_may_overlap_starts_all_at_once(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW", paused=True))
    past = Range(int(NOON - 1000) * 1000, int(NOON - 10) * 1000)
    assert await world.core.backfill(TENANT, "tick", past, "b1") == 100
    await world.pass_time(0)

    assert len(world.asked) == 100
    assert world.due() is None


async def test_a_run_that_cannot_be_created_is_told_and_the_next_time_comes(
    world: World,
) -> None:
    await world.create(every(10))
    world.runs.refuses = InvalidArgument("too large")
    await world.pass_time(10)
    world.runs.refuses = None
    await world.pass_time(10)

    assert world.asked == times(20)
    assert await world.told() == [
        ("12:00:10", "failed INVALID_ARGUMENT"),
        ("12:00:20", "started"),
    ]


async def test_a_run_that_cannot_be_created_now_is_created_later(world: World) -> None:
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    world.runs.refuses = Unavailable("away")
    world.sleep(10)
    (claimed,) = await world.claim()
    with pytest.raises(Unavailable):
        await world.firings.fire(claimed)

    assert await world.told() == [("12:00:10", "starting")]
    world.runs.refuses = None
    world.sleep(200)
    await world.pass_time(0)

    assert world.asked[0] == times(10)[0], "it was decided in time, and late is better than never"
    assert await world.told() == [
        ("12:00:10", "started"),
        ("12:00:20", "skipped MISSED"),
        *((f"12:0{s // 60}:{s % 60:02d}", "started") for s in range(150, 211, 10)),
    ]


async def test_a_schedule_ends_after_so_many_runs(world: World) -> None:
    made = await world.create(every(10, max_runs=2, overlap="OVERLAP_ALLOW"))
    await world.pass_time(100)
    ended = await world.core.get(TENANT, "tick")

    assert [time.seconds - NOON for time in made.next_times] == [10, 20]
    assert world.asked == times(10, 20)
    assert (ended.started_runs, list(ended.next_times)) == (2, [])
    assert world.due() is None


async def test_two_who_fire_at_once_start_one_run(world: World) -> None:
    """As when one was so slow that its lease ended."""
    await world.create(every(10, overlap="OVERLAP_ALLOW"))
    world.sleep(10)
    (slow,) = await world.claim()
    world.sleep(11)
    (quick,) = await world.claim()
    await world.firings.fire(quick)
    await world.firings.fire(slow)

    assert world.asked == times(10, 20)
    causes = {firing.cause for firing in await world.core.firings(TENANT, "tick")}
    assert causes == {Firing.CAUSE_TIME}
