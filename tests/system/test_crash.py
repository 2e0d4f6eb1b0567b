"""What survives `kill -9`: every accepted run, with each effect once and no event lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from harness.builders import agent, answer, ask, call, diary, gated
from harness.processes import is_alive
from harness.suite import (
    TOPOLOGIES,
    Kit,
    Suite,
    example_agents,
    example_spec,
    kinds,
    until,
)

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunStatus
from pentad_chassis.errors import Unavailable
from pentad_cli.follow import follow

pytestmark = pytest.mark.system

SOON = {"PENTAD_ORCHESTRATOR_LEASE_S": "1.5"}
"""Runs whose owner died are taken over sooner than by default."""

JOB = "ticket-report"


async def read_up_to_call(kit: Kit, run_id: str, tool: str, after: str = "") -> list[Event]:
    """Return a run's events behind `after` up to the next call of a tool."""
    seen: list[Event] = []
    async for event in kit.events(run_id, after):
        seen.append(event)
        if event.tool_call_started.tool == tool:
            return seen
    pytest.fail(f"the run ended without a call of {tool}: {seen[-1]}")


async def test_runs_and_streams_survive_two_kills_of_the_whole_suite(
    new_suite: Callable[..., Suite], tmp_path: Path
) -> None:
    suite = new_suite(**SOON)
    gates = [tmp_path / "gate0", tmp_path / "gate1"]
    seen: list[Event] = []
    async with suite.open() as kit:
        await kit.apply(diary(*map(str, gates)))
        run = await kit.create(ask("diary"), request_id="once")
    for gate in gates:
        async with suite.open() as kit:
            after = seen[-1].cursor if seen else ""
            seen += await read_up_to_call(kit, run.run_id, "gate", after)
            suite.kill9()
        gate.touch()
        suite.restart()
        # What was seen last may have been the old owner's; the new one says so itself.
        async with suite.open() as kit:
            assert (await kit.create(ask("diary"), request_id="once")).run_id == run.run_id
            async for event in kit.events(run.run_id, seen[-1].cursor):
                seen.append(event)
                if event.HasField("run_started"):
                    break
    async with suite.open() as kit:
        seen += await kit.tail(run.run_id, seen[-1].cursor)
        whole = await kit.tail(run.run_id)

    assert kinds(seen)[-1] == "run_completed"
    journal = [e for e in seen if e.WhichOneof("kind") != "text_delta"]
    assert [e.seq for e in journal] == list(range(1, len(journal) + 1)), "each event once"
    assert kinds(seen) == kinds(whole)
    assert [e.run_started.attempt for e in seen if e.HasField("run_started")] == [1, 2, 3]
    (notebook,) = suite.notebooks.glob("*/diary.txt")
    lines = [line.rpartition(" [")[0] for line in notebook.read_text("utf-8").splitlines()]
    assert lines == ["line 0", "line 1", "line 2"], "no line twice, none missing"


@dataclass(frozen=True)
class Struck:
    """A suite that was killed while runs were in the middle of something, and started again."""

    suite: Suite
    runs: Mapping[str, str]
    """Their ids, by agent or workflow."""

    parcels: Mapping[str, Path]
    """What those runs delivered that deliver, by agent."""

    seen: Sequence[Event]
    """What a client had seen of the workflow."""


COURIERS = {"courier": "deliver", "thrower": "deliver_blindly"}
"""Agents by the tool they call; only the first can tell afterwards whether it delivered."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=TOPOLOGIES)
async def struck(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Struck]:
    folder = tmp_path_factory.mktemp("struck")
    suite = Suite(request.param, folder / "data", SOON)
    suite.start()
    try:
        yield await strike(suite, folder)
        assert suite.stop() == 0
    finally:
        if suite.is_running:
            suite.kill9()


async def strike(suite: Suite, folder: Path) -> Struck:
    parcels = {name: folder / name for name in COURIERS}
    async with suite.open() as kit:
        await kit.apply(*example_agents())
        runs = {}
        for name, tool in COURIERS.items():
            rule = call("go", tool, path=str(parcels[name]))
            await kit.apply(agent(name, rule, answer("{go}", "go")))
            runs[name] = (await kit.create(ask(name))).run_id
        for parcel in parcels.values():
            await until(partial(asyncio.to_thread, parcel.exists), what="the parcel")
        runs[JOB] = (await kit.create(example_spec(JOB))).run_id
        pids = suite.pids()
        seen = await read_up_to_call(kit, runs[JOB], "calculator")
        suite.kill9(pids)
    suite.restart()
    return Struck(suite, runs, parcels, seen)


async def test_a_call_that_was_cut_off_is_settled_by_its_tools_check_and_not_repeated(
    struck: Struck,
) -> None:
    async with struck.suite.open() as kit:
        ended = await kit.wait(struck.runs["courier"])

    assert ended.status.output == "delivered before"
    assert len(struck.parcels["courier"].read_text("utf-8").splitlines()) == 1


async def test_a_call_that_nobody_can_settle_waits_for_a_person_and_is_not_repeated(
    struck: Struck,
) -> None:
    run_id = struck.runs["thrower"]
    async with struck.suite.open() as kit:

        async def is_paused() -> bool:
            return (await kit.get(run_id)).status.state == RunStatus.STATE_PAUSED

        await until(is_paused, what="the run is paused")
        paused = await kit.get(run_id)

    assert paused.status.pause.reason == "EFFECT_OUTCOME_UNKNOWN"
    assert [e.call_id for e in paused.status.pause.unknown_effects] == ["0.1.0"]
    assert len(struck.parcels["thrower"].read_text("utf-8").splitlines()) == 1


async def test_the_examples_job_survives_a_kill_in_its_middle(struck: Struck) -> None:
    suite, run_id = struck.suite, struck.runs[JOB]

    done = suite.pentad("tail", run_id, "--after", struck.seen[2].cursor)

    assert done.returncode == 0, done.stderr
    assert "run completed" in done.stdout.splitlines()[-1]
    async with suite.open() as kit:
        assert (await kit.wait(run_id)).status.state == RunStatus.STATE_COMPLETED
    (notebook,) = suite.notebooks.glob("*/tickets.txt")
    assert len(notebook.read_text("utf-8").splitlines()) == 1


@pytest.mark.parametrize("victim", ["state", "executor", "gateway"])
async def test_a_service_that_dies_is_started_again_and_its_runs_go_on(
    five: Suite, tmp_path: Path, victim: str
) -> None:
    """As do runs whose tool-runner dies (`test_pause.py`) or orchestrator (`test_traces.py`)."""
    gate = tmp_path / "gate"
    async with five.open() as kit:
        await kit.apply(gated(f"waits-{victim}", str(gate)))
        run = await kit.create(ask(f"waits-{victim}"))
        async for event in kit.events(run.run_id):
            if event.HasField("tool_call_started"):
                break
        (before,) = five.children(f"pentad_{victim} ")
        five.kill9_child(before)

        async def is_back() -> bool:
            return any(pid != before for pid in five.children(f"pentad_{victim} "))

        await until(is_back, what=f"{victim} runs again")
        gate.touch()

        async def answers() -> bool:
            try:
                return bool(await kit.get(run.run_id))
            except Unavailable:
                return False

        await until(answers, what="the suite answers again")
        events = [event async for event in follow(kit.client, run.run_id)]

    assert kinds(events)[-1] == "run_completed", events[-1]


@pytest.mark.parametrize("new_suite", ["five"], indirect=True)
async def test_children_follow_a_supervisor_that_was_killed(
    new_suite: Callable[..., Suite],
) -> None:
    suite = new_suite()

    children = suite.kill9_supervisor()

    async def all_gone() -> bool:
        return not any([await asyncio.to_thread(is_alive, pid) for pid in children])

    await until(all_gone, 20.0, f"all of {children} have ended")
    suite.restart()
    assert suite.stop() == 0
