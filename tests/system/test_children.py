"""Runs that start others, and whatever dies meanwhile."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.builders import agent, answer, ask, call, echo, gated
from harness.engines import running_engine
from harness.suite import Kit, Suite, kinds, until
from harness.walk import open_parts

from pentad.gateway.v1.approval_service_pb2 import DecideApprovalRequest
from pentad.gateway.v1.run_service_pb2 import CancelRunRequest, ListRunsRequest
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.approval_pb2 import Decision
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import POINTS, armed

pytestmark = pytest.mark.system

EACH = ["one", pytest.param("five", marks=pytest.mark.long)]
WAY = [name for name in POINTS if ".child." in name]

SOON = {"PENTAD_ORCHESTRATOR_LEASE_S": "1.5", "PENTAD_ORCHESTRATOR_JOB_LEASE_S": "1.5"}


def boss(helper: str, **arguments: object) -> Agent:
    """Return an agent that has another one work, and repeats what came of it."""
    tool = f"agent_{helper.replace('-', '_')}"
    return agent(
        "boss",
        call("work", tool, **arguments),
        answer("it said {work}", "work"),
        answer("it failed: {work}", after_failure="work"),
        tools=[],
        agents=[helper],
    )


async def children_of(kit: Kit, run_id: str, count: int = 1) -> list[Run]:
    """Return a run's children once there are so many."""
    found: list[Run] = []

    async def are_there() -> bool:
        try:
            listed = await kit.client.runs.ListRuns(ListRunsRequest(page_size=100))
        except ServiceError:
            return False
        found[:] = [run for run in listed.runs if run.parent_run_id == run_id]
        return len(found) == count

    await until(are_there, 30.0, f"run {run_id} has {count} children")
    return found


async def state_of(kit: Kit, run_id: str, state: RunStatus.State.ValueType) -> None:
    async def is_so() -> bool:
        try:
            return (await kit.get(run_id)).status.state == state
        except ServiceError:
            return False

    await until(is_so, 30.0, f"run {run_id} is {RunStatus.State.Name(state)}")


async def test_an_agent_reads_what_others_answer(kit: Kit) -> None:
    await kit.apply(echo(), boss("echo", inputs=["a", "b", "c"], parallelism=2))
    run = await kit.create(ask("boss"))
    ended = await kit.wait(run.run_id)
    children = await children_of(kit, run.run_id, 3)

    told = json.loads(ended.status.output.removeprefix("it said "))
    assert told == [{"index": i, "output": f"You said: {x}"} for i, x in enumerate("abc")]
    assert {child.spec.input for child in children} == set("abc")
    assert len({child.trace_id for child in [*children, ended]}) == 1, "one trace for all"


async def test_the_example_of_the_docs_runs(kit: Kit) -> None:
    run = await kit.wait((await kit.create(ask("editor", "Lisbon, Porto"))).run_id)

    assert run.status.output == "Lisbon is worth a journey. Porto is worth a journey."


async def test_a_child_that_fails_does_not_end_its_parent(kit: Kit) -> None:
    broken = agent("broken", call("x", "agent_echo", input=" "), answer("never", "x"), tools=[])
    broken.agents.append("echo")
    await kit.apply(broken, boss("broken", input="x"))
    ended = await kit.wait((await kit.create(ask("boss"))).run_id)

    assert ended.status.state == RunStatus.STATE_COMPLETED
    assert ended.status.output.startswith("it failed: CHILD_FAILED: ")


async def test_a_run_keeps_the_helpers_that_it_pinned(kit: Kit) -> None:
    """Whatever becomes of them before they are called."""
    first, second = echo("aide"), echo("aide")
    second.rules[0].answer = "changed"
    patient = agent(
        "patient",
        call("size", "ask_human", question="Go on?"),
        call("work", "agent_aide", "size", input="hi"),
        answer("{work}", "work"),
        tools=["ask_human"],
        agents=["aide"],
    )
    await kit.apply(first, patient)
    run = await kit.create(ask("patient"))
    await kit.apply(second)
    await answered(kit, run.run_id)

    assert (await kit.wait(run.run_id)).status.output == "You said: hi"


async def answered(kit: Kit, run_id: str) -> None:
    """Say yes to whatever a run asks."""
    async for event in kit.events(run_id):
        if event.HasField("approval_requested"):
            approval_id = event.approval_requested.approval.approval_id
            request = DecideApprovalRequest(approval_id=approval_id, comment="yes")
            request.verdict = Decision.VERDICT_APPROVED
            await kit.client.approvals.DecideApproval(request)
            return


@pytest.mark.parametrize("new_suite", EACH, indirect=True)
async def test_parent_and_children_outlive_everything(
    new_suite: Callable[..., Suite], tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = new_suite(**SOON)
    gate = tmp_path_factory.mktemp("gates") / "gate"
    async with made.open() as kit:
        await kit.apply(gated("slow", str(gate)), boss("slow", inputs=["a", "b"]))
        run = await kit.create(ask("boss"))
        await children_of(kit, run.run_id, 2)
        await state_of(kit, run.run_id, RunStatus.STATE_WAITING)
    made.kill9()
    made.restart()
    gate.touch()

    async with made.open() as kit:
        ended = await kit.wait(run.run_id)
        children = await children_of(kit, run.run_id, 2)
        events = await kit.tail(run.run_id)
    assert ended.status.state == RunStatus.STATE_COMPLETED
    assert {child.status.state for child in children} == {RunStatus.STATE_COMPLETED}
    assert kinds(events).count("child_started") == kinds(events).count("child_ended") == 2


async def test_a_cancel_flows_down(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> None:
    gate = tmp_path_factory.mktemp("gates") / "gate"
    middle = agent("middle", call("w", "agent_slow", input="x"), answer("{w}", "w"), tools=[])
    middle.agents.append("slow")
    await kit.apply(gated("slow", str(gate)), middle, boss("middle", input="x"))
    run = await kit.create(ask("boss"))
    (child,) = await children_of(kit, run.run_id)
    (grandchild,) = await children_of(kit, child.run_id)
    await kit.client.runs.CancelRun(CancelRunRequest(run_id=run.run_id, reason="enough"))

    for each in (run, child, grandchild):
        await state_of(kit, each.run_id, RunStatus.STATE_CANCELLED)
    assert (await kit.get(grandchild.run_id)).status.cancel_reason == "its parent has ended"


async def test_the_first_success_is_enough_and_the_others_are_cancelled(
    kit: Kit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    gate = tmp_path_factory.mktemp("gates") / "gate"
    racer = agent(
        "racer",
        answer("fast", input_pattern="fast"),
        call("wait", "gate", path=str(gate)),
        answer("slow", "wait"),
    )
    await kit.apply(racer, boss("racer", inputs=["slow", "fast"], join="any"))
    run = await kit.create(ask("boss"))
    ended = await kit.wait(run.run_id)
    children = {child.spec.input: child for child in await children_of(kit, run.run_id, 2)}

    assert json.loads(ended.status.output.removeprefix("it said ")) == [
        {"index": 1, "output": "fast"}
    ]
    await state_of(kit, children["slow"].run_id, RunStatus.STATE_CANCELLED)


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


async def has_children(kit: Kit, point: str) -> None:
    """Have a run start two others, and look at what came of it."""
    run: Run | None = None

    async def is_accepted() -> bool:
        nonlocal run
        try:
            await kit.apply(echo(), boss("echo", inputs=["a", "b"]))
            run = await kit.create(ask("boss"), request_id=point)
        except ServiceError:
            return False
        return True

    await until(is_accepted, 60.0, "the run is accepted")
    assert run is not None
    await state_of(kit, run.run_id, RunStatus.STATE_COMPLETED)
    assert len(await children_of(kit, run.run_id, 2)) == 2


@pytest.mark.long
@pytest.mark.parametrize("point", WAY)
async def test_each_child_begins_once_though_a_call_fails_at(
    point: str, folder: Path, engine: str
) -> None:
    async with open_parts(folder, engine) as parts:
        with armed({point: "raise@1"}) as reached:
            await has_children(parts.kit, f"fails-{point}")
        assert reached[point] > 1


@pytest.mark.long
@pytest.mark.parametrize("point", WAY)
async def test_each_child_begins_once_though_a_process_dies_at(
    point: str, folder: Path, engine: str
) -> None:
    async with open_parts(folder, engine, "orchestrator", point) as parts:
        having = asyncio.create_task(has_children(parts.kit, f"dies-{point}"))
        assert await parts.fifth.died(60.0), "the point was not reached"
        await parts.fifth.start()
        await having
