"""At every arrow of a run a process dies once, and a call fails once: nothing comes of it."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.builders import agent, answer, call
from harness.engines import ask, running_engine
from harness.suite import kinds
from harness.walk import Parts, open_parts, written

from pentad.gateway.v1.run_service_pb2 import WaitRunRequest
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import POINTS, armed

_SOON_S = 20.0
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED"}

RELEASE = {name for name in POINTS if "release" in name}
CLAIM = {name for name in POINTS if "adopt" in name or "run_claim" in name}
"""Reached only when a run goes from one owner to another."""

OTHER_WAYS = {".job.", ".fire.", ".keep.", ".child."}
"""See `test_schedules.py`, `test_session_policies.py` and `test_children.py`."""

WALK = [name for name in POINTS if not any(part in name for part in OTHER_WAYS)]

pytestmark = [pytest.mark.system, pytest.mark.long]

OFTEN = {
    "orchestrator.append.after",
    "orchestrator.invoke.after",
    "orchestrator.release.before",
    "tools.begin.after",
    "tools.execute.after",
    "tools.complete.after",
    "state.run_append.after",
    "state.effect_begin.after",
}
"""The others die only in `make test-failpoints`: each takes seconds."""

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
    with tempfile.TemporaryDirectory(prefix="pentad-walk-") as path:
        yield Path(path)


@pytest.mark.parametrize("point", WALK)
async def test_a_call_that_fails_once_at(point: str, folder: Path, engine: str) -> None:
    async with open_parts(folder, engine) as parts:
        with armed({point: "raise@1"}) as reached:
            run = await begun(parts, folder)
            if point in RELEASE | CLAIM:
                await sending(folder)
                await parts.close_orchestrator()
                await parts.open_orchestrator()
            await ended_well(parts, run, folder)
        assert reached[point]


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(not (ALL or name in OFTEN), reason="make test-failpoints"),
        )
        for name in WALK
    ],
)
async def test_a_process_that_dies_once_at(point: str, folder: Path, engine: str) -> None:
    service = point.partition(".")[0]
    later = point in CLAIM
    async with open_parts(folder, engine, service, "" if later else point) as parts:
        beginning = asyncio.create_task(begun(parts, folder))
        if point in RELEASE | CLAIM:
            await beginning
            await sending(folder)
            await (hand_over if service == "orchestrator" else hand_over_here)(parts, point)
        else:
            assert await parts.fifth.died(_SOON_S), "the point was not reached"
            await parts.fifth.start()
        await ended_well(parts, await beginning, folder)


async def hand_over(parts: Parts, point: str) -> None:
    """Let the orchestrator go, and the next one take its runs; one of them dies on it."""
    await parts.fifth.stop()
    if point in CLAIM:
        await parts.fifth.start(point)
    assert await parts.fifth.died(_SOON_S), "the point was not reached"
    await parts.fifth.start()


async def hand_over_here(parts: Parts, point: str) -> None:
    """Do the same with an orchestrator of this process; the state service dies on it."""
    if point in CLAIM:
        await parts.fifth.stop()
        await parts.fifth.start(point)
    await parts.close_orchestrator()
    await parts.open_orchestrator()
    assert await parts.fifth.died(_SOON_S), "the point was not reached"
    await parts.fifth.start()


async def begun(parts: Parts, folder: Path) -> Run:
    """Have a run accepted, however often that takes."""
    await parts.kit.apply(
        agent(
            "walker",
            call("put", "put", path=f"{folder}/put"),
            call("send", "send", "put", path=f"{folder}/sent"),
            answer("walked", "send"),
        )
    )
    while True:
        try:
            spec = RunSpec(agent="walker", input="walk", session_id="way")
            return await parts.kit.create(spec, request_id="walk")
        except ServiceError as error:
            if error.code.name not in _PASSING:
                raise
        await asyncio.sleep(0.1)


async def sending(folder: Path) -> None:
    """Return once the call that must not be repeated is under way."""
    async with asyncio.timeout(_SOON_S):
        while not written(folder / "sent"):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)


async def ended_well(parts: Parts, run: Run, folder: Path) -> None:
    """Wait for the run's end; it has its answer, and each effect once."""
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
    assert run.status.state == RunStatus.STATE_COMPLETED, f"{run.status}\n{kinds(events)}"
    assert run.status.output == "walked"
    assert written(folder / "sent") == [f"{run.run_id}/0.2.0"]
    assert {*written(folder / "put")} == {f"{run.run_id}/0.1.0"}
    seqs = [event.seq for event in events if not event.HasField("text_delta")]
    assert seqs == list(range(1, run.last_seq + 1))
    assert kinds(events).count("tool_call_completed") == 2
    assert kinds(events)[-1] == "run_completed"
