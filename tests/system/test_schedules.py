"""Each time of a schedule starts one run, whoever dies meanwhile."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Awaitable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from harness.builders import echo
from harness.engines import running_engine
from harness.suite import Kit, Suite, example_agents, until
from harness.walk import Parts, open_parts

from pentad.gateway.v1.run_service_pb2 import ListRunsRequest
from pentad.gateway.v1.schedule_service_pb2 import (
    CreateScheduleRequest,
    DeleteScheduleRequest,
    GetScheduleRequest,
    ListScheduleFiringsRequest,
)
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus
from pentad.state.v1.schedule_pb2 import Firing, Interval, Schedule
from pentad_chassis.clock import random_id
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import POINTS, armed

pytestmark = pytest.mark.system

SOON = {"PENTAD_ORCHESTRATOR_LEASE_S": "1.5", "PENTAD_ORCHESTRATOR_JOB_LEASE_S": "1.5"}
WITHIN_S = 60.0

LASTS_S = int(os.environ.get("PENTAD_TEST_SCHEDULE_S", "60"))
"""300 is what acceptance asks for; see docs/schedules.md."""

WAY = [name for name in POINTS if ".job." in name or ".fire." in name]


def each_second(name: str, runs: int) -> Schedule:
    """Return a schedule of a run a second that ends by itself."""
    return Schedule(
        name=name,
        interval=Interval(every={"seconds": 1}),  # type: ignore[arg-type]
        overlap=Schedule.OVERLAP_ALLOW,
        max_runs=runs,
        spec=RunSpec(agent="echo", input=f"{name} {{time}}"),
    )


async def begin(kit: Kit, schedule: Schedule) -> None:
    """Have a schedule recorded, however often that takes."""
    request = CreateScheduleRequest(schedule=schedule, request_id=random_id())

    async def is_recorded() -> bool:
        try:
            await kit.apply(echo())
            await kit.client.schedules.CreateSchedule(request)
        except ServiceError:
            return False
        return True

    await until(is_recorded, WITHIN_S, "the schedule is recorded")


async def started(kit: Kit, name: str) -> int:
    """Return how many runs a schedule has started; as none while nobody answers."""
    try:
        request = GetScheduleRequest(name=name)
        return (await kit.client.schedules.GetSchedule(request)).schedule.started_runs
    except ServiceError:
        return 0


async def has_started(kit: Kit, name: str, runs: int, within_s: float = WITHIN_S) -> None:
    """Return once a schedule has started so many runs."""

    async def so_many() -> bool:
        return await started(kit, name) >= runs

    await until(so_many, within_s, f"{name} has started {runs} runs")


async def runs_of(kit: Kit, name: str) -> list[Run]:
    """Return the runs that a schedule has started, oldest first."""
    found: list[Run] = []
    request = ListRunsRequest(page_size=500)
    while True:
        page = await kit.client.runs.ListRuns(request)
        found += [run for run in page.runs if run.spec.input.startswith(f"{name} ")]
        if not page.next_page_token:
            return found[::-1]
        request.page_token = page.next_page_token


async def check(kit: Kit, name: str, count: int) -> None:
    """Ask for exactly one run for each second from the first to the last, all of them ended."""
    await all_created(kit, name)
    runs = await runs_of(kit, name)
    seconds = sorted(_second(run) for run in runs)
    assert seconds == list(range(seconds[0], seconds[0] + count)), "none missing, none twice"
    assert len({run.run_id for run in runs}) == count
    ended = [await kit.wait(run.run_id) for run in runs]
    assert {run.status.state for run in ended} == {RunStatus.STATE_COMPLETED}


async def all_created(kit: Kit, name: str) -> None:
    """Return once every run that was decided is created; each time is told once."""

    async def none_is_starting() -> bool:
        return Firing.OUTCOME_STARTING not in {firing.outcome for firing in await told(kit, name)}

    await until(none_is_starting, WITHIN_S, "every run is created")
    firings = await told(kit, name)
    assert {firing.outcome for firing in firings} == {Firing.OUTCOME_STARTED}
    assert len({firing.time.seconds for firing in firings}) == len(firings)


async def told(kit: Kit, name: str) -> list[Firing]:
    """Return what a schedule says became of its last times."""
    request = ListScheduleFiringsRequest(name=name)
    return list((await kit.client.schedules.ListScheduleFirings(request)).firings)


def _second(run: Run) -> int:
    return int(datetime.fromisoformat(run.spec.input.partition(" ")[2]).timestamp())


async def test_each_second_starts_one_run_though_the_orchestrator_dies(five: Suite) -> None:
    name, count = f"tick-{random_id()[:6]}", 6
    async with five.open() as kit:
        await begin(kit, each_second(name, count))
        await has_started(kit, name, 2)
        (orchestrator,) = five.children("pentad_orchestrator ")
        five.kill9_child(orchestrator)
        await has_started(kit, name, count)
        await check(kit, name, count)


async def test_the_examples_schedules_are_applied_and_fire(five: Suite) -> None:
    def pentad(*words: str) -> Awaitable["subprocess.CompletedProcess[str]"]:
        return asyncio.to_thread(five.pentad, *words)

    async with five.open() as kit:
        await kit.apply(*example_agents())
        applied = await pentad("schedule", "apply", "-f", "examples/schedules/clock.yaml")
        triggered = await pentad("schedule", "trigger", "morning")
        shown = await pentad("schedule", "show", "morning")
        refused = await pentad("schedule", "create", "never", "clock", "-", "--cron", "0 0 30 2 *")
        ended = await kit.wait(triggered.stdout.strip())
        for name in ("morning", "heartbeat"):
            await kit.client.schedules.DeleteSchedule(DeleteScheduleRequest(name=name))

    assert [line.split(",")[0] for line in applied.stdout.splitlines()] == [
        "schedule morning created",
        "schedule heartbeat created",
    ]
    assert "In Europe/Berlin it is" in ended.status.output
    assert triggered.stdout.strip() in shown.stdout
    assert "30 8 * * MON-FRI Europe/Berlin" in shown.stdout
    assert refused.returncode == 1
    assert "schedule.cron" in refused.stderr


@pytest.mark.long
@pytest.mark.timeout(LASTS_S + 240)
async def test_two_orchestrators_fire_each_second_once_while_one_is_killed(
    tmp_path: Path,
) -> None:
    suite = Suite("five", tmp_path / "data", SOON, replicas="orchestrator=2")
    suite.start()
    try:
        async with suite.open() as kit:
            await begin(kit, each_second("tick", LASTS_S))
            await has_started(kit, "tick", LASTS_S // 3, WITHIN_S + LASTS_S)
            first, second = suite.children("pentad_orchestrator ")
            suite.kill9_child(first)
            await has_started(kit, "tick", 2 * LASTS_S // 3, WITHIN_S + LASTS_S)
            suite.kill9_child(second)
            await has_started(kit, "tick", LASTS_S, WITHIN_S + LASTS_S)
            await check(kit, "tick", LASTS_S)
    finally:
        assert suite.stop() == 0


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """An engine of its own."""
    with running_engine("valkey") as url:
        yield url


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pentad-walk-") as path:
        yield Path(path)


@pytest.mark.long
@pytest.mark.parametrize("point", WAY)
async def test_a_schedule_fires_though_a_call_fails_at(
    point: str, folder: Path, engine: str
) -> None:
    name = f"fails-{WAY.index(point)}"
    async with open_parts(folder, engine) as parts:
        with armed({point: "raise@2"}) as reached:
            await fires(parts, name)
        assert reached[point] > 1


@pytest.mark.long
@pytest.mark.parametrize("point", WAY)
async def test_a_schedule_fires_though_a_process_dies_at(
    point: str, folder: Path, engine: str
) -> None:
    name = f"dies-{WAY.index(point)}"
    async with open_parts(folder, engine, "orchestrator", point) as parts:
        firing = asyncio.create_task(fires(parts, name))
        assert await parts.fifth.died(WITHIN_S), "the point was not reached"
        await parts.fifth.start()
        await firing


async def fires(parts: Parts, name: str) -> None:
    """Let a schedule fire, and look at what came of it."""
    await begin(parts.kit, each_second(name, 3))
    await has_started(parts.kit, name, 3)
    await check(parts.kit, name, 3)
