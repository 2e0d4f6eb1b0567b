"""A workflow of twenty nodes that fails and takes back, whatever process dies on its way."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from harness.builders import agent, answer
from harness.engines import ask, running_engine
from harness.suite import kinds
from harness.walk import Parts, open_parts, written

from pentad.gateway.v1.run_service_pb2 import WaitRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus
from pentad.state.v1.workflow_pb2 import WorkflowSpec
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import POINTS

pytestmark = pytest.mark.system

_SOON_S = 30.0
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"}

_ELSEWHERE = ("session", "enter", "keep", "fire", "release", "renew", "extend")
"""Points that a run of a workflow does not come by, or that have nothing to do with it."""

ON_THE_WAY = [name for name in POINTS if not any(part in name for part in _ELSEWHERE)]

OFTEN = {
    "orchestrator.append.after",
    "orchestrator.child.after",
    "orchestrator.invoke.after",
    "orchestrator.job.after",
    "tools.execute.after",
    "state.run_append.after",
}
"""The others die only in `make test-failpoints`: each takes seconds."""

LATER = [
    "orchestrator.append.after@14",
    "orchestrator.append.after@20",
    "orchestrator.append.after@26",
    "orchestrator.child.before@4",
    "orchestrator.invoke.after@10",
    "orchestrator.invoke.before@18",
    "tools.begin.after@15",
    "tools.execute.after@20",
    "tools.complete.after@17",
]
"""Further on the way, most of them where it is taken back."""

ALL = bool(os.environ.get("PENTAD_TEST_FAILPOINTS"))


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[str]:
    """An engine that outlives the state services over it."""
    with running_engine("valkey") as url:
        yield url


@pytest.fixture
def engine(shared_engine: str) -> str:
    """An empty engine."""
    ask(shared_engine, "FLUSHALL")
    return shared_engine


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pentad-flow-") as path:
        yield Path(path)


async def test_it_fails_and_takes_back_in_reverse_order(folder: Path, engine: str) -> None:
    async with open_parts(folder, engine) as parts:
        await ended_well(parts, await begun(parts, folder), folder)


async def test_it_does_so_though_its_owner_dies(folder: Path, engine: str) -> None:
    await dies_at("orchestrator.append.after@8", folder, engine)


@pytest.mark.long
@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(not (ALL or name in OFTEN), reason="make test-failpoints"),
        )
        for name in ON_THE_WAY
    ],
)
async def test_it_does_so_though_a_process_dies_at(point: str, folder: Path, engine: str) -> None:
    await dies_at(point, folder, engine)


@pytest.mark.long
@pytest.mark.parametrize("point", LATER)
async def test_it_does_so_though_a_process_dies_later_at(
    point: str, folder: Path, engine: str
) -> None:
    await dies_at(point, folder, engine)


async def dies_at(point: str, folder: Path, engine: str) -> None:
    """Have one process die at a point, and come back."""
    service = point.partition(".")[0]
    async with open_parts(folder, engine, service, point) as parts:
        beginning = asyncio.create_task(begun(parts, folder))
        assert await parts.fifth.died(_SOON_S), "the point was not reached"
        await parts.fifth.start()
        await ended_well(parts, await beginning, folder)


def twenty(folder: Path) -> WorkflowSpec:
    """Return the workflow: two branches and a map, a join, a choice, a loop, and a failure."""

    def put(*, back: bool = True) -> dict[str, Any]:
        call = {"name": "put", "arguments": {"path": f"{folder}/done"}}
        undo = {"name": "put", "arguments": {"path": f"{folder}/undone"}}
        return {"tool": call, **({"compensation": {"tool": undo}} if back else {})}

    def send(name: str) -> dict[str, Any]:
        return {"name": "send", "arguments": {"path": f"{folder}/{name}"}}

    body = put(back=False)["tool"]
    asked = {"name": "echo", "input": "${nodes.begin.text}"}
    inner = {"nodes": [{"name": "one", **put(back=False)}, {"name": "two", "agent": asked_of("x")}],
             "edges": [{"from": "one", "to": "two"}]}  # fmt: skip
    nodes: dict[str, dict[str, Any]] = {
        "begin": put(),
        "ask": {"agent": asked, "compensation": put()["compensation"]},
        "left": put(),
        "right": put(),
        "each": {"map": {"over": "[1, 2, 3]", "tool": body, "parallelism": 2},
                 "compensation": put()["compensation"]},
        "gather": put(back=False),
        "choose": put(back=False),
        "yes": put(),
        "no": put(),
        "meet": put(back=False),
        "draft": put(),
        "review": put(back=False),
        "nap": {"sleep": {"duration": "0.1s"}},
        "once": {"tool": send("sent"), "compensation": {"tool": send("unsent")}},
        "sub": {"workflow": {"inline": inner}},
        "any": {**put(back=False), "join": "JOIN_ANY"},
        "answer": {"agent": asked_of("${nodes.any.output}")},
        "late": put(),
        "fail": {"tool": {"name": "put", "arguments": {"path": 7}}},
        "never": put(),
    }  # fmt: skip
    edges = [
        "begin ask", "begin left", "begin right", "begin each", "left gather", "right gather",
        "each gather", "ask gather", "gather choose", "yes meet", "no meet", "meet draft",
        "draft review", "review nap", "nap once", "nap sub", "once any", "sub any", "any answer",
        "answer late", "late fail", "fail never",
    ]  # fmt: skip
    more = [
        {"from": "choose", "to": "yes", "condition": "nodes.choose.output == 'put'"},
        {"from": "choose", "to": "no", "otherwise": True},
        {"from": "review", "to": "draft", "condition": "iteration < 2", "max_iterations": 3},
    ]
    spec = {
        "nodes": [{"name": name, **node} for name, node in nodes.items()],
        "edges": [*({"from": e.split()[0], "to": e.split()[1]} for e in edges), *more],
    }
    return ParseDict(spec, WorkflowSpec())


def asked_of(text: str) -> dict[str, str]:
    return {"name": "echo", "input": text}


async def begun(parts: Parts, folder: Path) -> Run:
    """Have a run accepted, however often that takes."""
    await parts.kit.apply(agent("echo", answer("You said: {input}")))
    while True:
        try:
            return await parts.kit.create(RunSpec(graph=twenty(folder)), request_id="flow")
        except ServiceError as error:
            if error.code.name not in _PASSING:
                raise
        await asyncio.sleep(0.1)


async def ended_well(parts: Parts, run: Run, folder: Path) -> None:
    """Wait for the run's end: it failed, and took back all that it had done, the last first."""
    async with asyncio.timeout(2 * _SOON_S):
        while not run.HasField("end_time"):
            try:
                request = WaitRunRequest(run_id=run.run_id)
                request.timeout.FromSeconds(5)
                run = (await parts.kit.client.runs.WaitRun(request, timeout=8.0)).run
            except ServiceError as error:
                if error.code.name not in _PASSING:
                    raise
                await asyncio.sleep(0.1)
    events = await parts.kit.tail(run.run_id)
    assert run.status.state == RunStatus.STATE_FAILED, f"{run.status}\n{kinds(events)}"
    assert run.status.failure.reason == "TOOL_ARGUMENTS_INVALID", run.status
    assert run.status.failure.metadata["node"] == "fail"
    assert [e.seq for e in events] == list(range(1, run.last_seq + 1))
    undone = [e.compensation_completed.path for e in events if e.HasField("compensation_completed")]
    assert undone == list(reversed(compensable(events)))
    assert undone == list(run.status.unwinding.compensated)
    assert {"draft", "draft#2", "each[0]", "each[1]", "each[2]", "begin"} <= {*undone}
    skipped = [e.node_skipped.node for e in events if e.HasField("node_skipped")]
    assert skipped == ["no"]
    assert "never" not in completed(events)
    # A call that may be repeated may be, when its runner dies; in order it is all the same.
    keys = [f"{run.run_id}/undo:{path}" for path in undone if path != "once"]
    assert [key for key, _ in groupby(written(folder / "undone"))] == keys
    assert written(folder / "sent") == [f"{run.run_id}/once"]
    assert written(folder / "unsent") == [f"{run.run_id}/undo:once"]


def completed(events: list[Event]) -> list[str]:
    return [e.node_completed.path for e in events if e.HasField("node_completed")]


def compensable(events: list[Event]) -> list[str]:
    """Return what was done and is to be taken back, in the order in which it was done."""
    without = {"each", "gather", "choose", "meet", "review", "review#2", "nap", "sub", "any"}
    return [path for path in completed(events) if path not in without | {"answer"}]
