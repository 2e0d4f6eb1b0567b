"""One run of a session at a time: what becomes of the second, and of the first."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.builders import agent, answer, ask, call, echo, gated
from harness.engines import ask as ask_engine
from harness.engines import running_engine
from harness.suite import ROOT, Kit, Suite, kinds, until
from harness.walk import open_parts

from pentad.gateway.v1.run_service_pb2 import CancelRunRequest
from pentad.gateway.v1.session_service_pb2 import DeleteSessionRequest, ListMessagesRequest
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.run_pb2 import (
    Run,
    RunSpec,
    RunStatus,
    SessionPolicy,
    Step,
)
from pentad_chassis.clock import random_id
from pentad_chassis.errors import FailedPrecondition, ServiceError
from pentad_chassis.failpoints import POINTS, armed

pytestmark = pytest.mark.system

SOON = {"PENTAD_ORCHESTRATOR_LEASE_S": "1.5", "PENTAD_ORCHESTRATOR_JOB_LEASE_S": "1.5"}
ENQUEUE, REJECT, INTERRUPT, ROLL_BACK = (
    SessionPolicy.SESSION_POLICY_UNSPECIFIED,
    SessionPolicy.SESSION_POLICY_REJECT,
    SessionPolicy.SESSION_POLICY_INTERRUPT,
    SessionPolicy.SESSION_POLICY_ROLL_BACK,
)
KEEP = [point for point in POINTS if ".keep." in point or ".enter." in point or ".job." in point]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file for which the first run of a session waits."""
    return tmp_path / "gate"


def open_gate(path: Path) -> None:
    """Let a tool go on that waits for the file."""
    path.touch()


async def begin(kit: Kit, gate: Path, session: str) -> Run:
    """Return a run that has said something in the session and waits for the gate."""
    return await lingering(kit, gated(f"gated-{session}", str(gate)), session)


async def lingering(kit: Kit, last: Agent, session: str) -> Run:
    """Return a run whose first agent has said something, and whose last one is at a call."""
    await kit.apply(echo(), last)
    steps = [
        Step(name="first", agent="echo", input="a"),
        Step(name="then", agent=last.name, input="b"),
    ]
    spec = RunSpec(input="question 1", session_id=session)
    spec.multi_step.steps.extend(steps)
    run = await kit.create(spec)
    async for event in kit.events(run.run_id):
        if event.HasField("tool_call_started"):
            break
    return run


async def second(
    kit: Kit, session: str, number: int, policy: SessionPolicy.ValueType = ENQUEUE
) -> Run:
    """Return another run of the session, accepted."""
    return await kit.create(
        ask("echo", f"question {number}", session_id=session, session_policy=policy)
    )


async def waits(kit: Kit, run: Run) -> Run:
    """Return a run as it stands once it waits for its turn."""

    async def does() -> bool:
        return (await kit.get(run.run_id)).status.state == RunStatus.STATE_WAITING

    await until(does, 30, "it waits for its turn")
    return await kit.get(run.run_id)


async def said(kit: Kit, session: str) -> list[str]:
    request = ListMessagesRequest(session_id=session)
    found = (await kit.client.sessions.ListMessages(request)).messages
    return [message.message.text for message in found]


def told(*numbers: int) -> list[str]:
    """Return what a session holds of runs that only repeat."""
    return [text for n in numbers for text in (f"question {n}", f"You said: question {n}")]


async def test_the_second_waits_for_its_turn(kit: Kit, gate: Path) -> None:
    session = random_id()
    first = await begin(kit, gate, session)
    others = [await second(kit, session, 2)]
    waiting = await waits(kit, others[0])
    assert waiting.status.waiting.active_run_id == first.run_id
    others.append(await second(kit, session, 3))
    await waits(kit, others[1])

    open_gate(gate)

    ended = [await kit.wait(run.run_id) for run in (first, *others)]
    assert {run.status.state for run in ended} == {RunStatus.STATE_COMPLETED}
    assert (await said(kit, session))[2:] == told(2, 3)
    events = kinds(await kit.tail(others[1].run_id))
    assert events[:2] == ["run_created", "run_waiting"]
    assert "session_entered" in events
    assert events[-1] == "run_completed"


async def test_the_second_is_rejected(kit: Kit, gate: Path) -> None:
    session = random_id()
    first = await begin(kit, gate, session)

    with pytest.raises(FailedPrecondition) as caught:
        await second(kit, session, 2, REJECT)

    assert caught.value.reason == "SESSION_BUSY"
    assert caught.value.metadata == {"session_id": session, "run_id": first.run_id}
    open_gate(gate)
    await kit.wait(first.run_id)
    accepted = await kit.wait((await second(kit, session, 2, REJECT)).run_id)
    assert accepted.status.state == RunStatus.STATE_COMPLETED
    assert (await said(kit, session))[2:] == told(2)


async def test_the_second_interrupts_the_first_and_keeps_what_it_said(kit: Kit, gate: Path) -> None:
    session = random_id()
    first = await begin(kit, gate, session)

    interrupter = await second(kit, session, 2, INTERRUPT)

    assert (await kit.wait(interrupter.run_id)).status.state == RunStatus.STATE_COMPLETED
    ended = await kit.wait(first.run_id)
    assert ended.status.state == RunStatus.STATE_CANCELLED
    assert ended.status.cancel_reason == f"interrupted by run {interrupter.run_id}"
    assert await said(kit, session) == ["question 1", "You said: a", *told(2)]


async def test_the_second_rolls_the_first_back(kit: Kit, gate: Path) -> None:
    session = random_id()
    first = await begin(kit, gate, session)
    behind = await second(kit, session, 3)
    await waits(kit, behind)

    ahead = await second(kit, session, 2, ROLL_BACK)

    for run in (ahead, behind):
        assert (await kit.wait(run.run_id)).status.state == RunStatus.STATE_COMPLETED
    assert (await kit.wait(first.run_id)).status.state == RunStatus.STATE_CANCELLED
    assert await said(kit, session) == told(2, 3)


async def test_who_is_cancelled_in_line_lets_the_others_by(kit: Kit, gate: Path) -> None:
    session = random_id()
    first = await begin(kit, gate, session)
    others = [await second(kit, session, number) for number in (2, 3)]
    for run in others:
        await waits(kit, run)

    await kit.client.runs.CancelRun(CancelRunRequest(run_id=others[0].run_id, reason="enough"))
    assert (await kit.wait(others[0].run_id)).status.cancel_reason == "enough"
    open_gate(gate)

    assert (await kit.wait(others[1].run_id)).status.state == RunStatus.STATE_COMPLETED
    assert (await kit.wait(first.run_id)).status.state == RunStatus.STATE_COMPLETED
    assert (await said(kit, session))[2:] == told(3)


async def test_a_run_that_fails_lets_the_next_one_in(kit: Kit) -> None:
    session = random_id()
    await kit.apply(agent("mute", answer("never", input_pattern="nothing like it")), echo())

    failed = await kit.wait((await kit.create(ask("mute", session_id=session))).run_id)

    assert failed.status.state == RunStatus.STATE_FAILED
    run = await kit.wait((await second(kit, session, 2)).run_id)
    assert run.status.state == RunStatus.STATE_COMPLETED
    assert await said(kit, session) == told(2)


async def test_a_deleted_session_begins_anew_with_whoever_is_at_it(kit: Kit, gate: Path) -> None:
    session = random_id()
    await kit.apply(echo())
    await kit.wait((await second(kit, session, 0)).run_id)
    first = await begin(kit, gate, session)
    behind = await second(kit, session, 2)
    await waits(kit, behind)

    await kit.client.sessions.DeleteSession(DeleteSessionRequest(session_id=session))
    open_gate(gate)

    for run in (first, behind):
        assert (await kit.wait(run.run_id)).status.state == RunStatus.STATE_COMPLETED
    messages = await said(kit, session)
    assert messages[0] == "question 1"
    assert messages[2:] == told(2)


@pytest.mark.parametrize(
    "new_suite", ["one", pytest.param("five", marks=pytest.mark.long)], indirect=True
)
async def test_nobody_is_forgotten_when_everything_dies(
    new_suite: Callable[..., Suite], gate: Path
) -> None:
    made = new_suite(**SOON)
    async with made.open() as kit:
        first = await begin(kit, gate, "talk")
        behind = await second(kit, "talk", 2)
        await waits(kit, behind)
    made.kill9()
    made.restart()
    async with made.open() as kit:
        late = await second(kit, "talk", 3, INTERRUPT)
        ended = [await kit.wait(run.run_id) for run in (late, behind, first)]
        messages = await said(kit, "talk")

    states = [run.status.state for run in ended]
    assert states == [
        RunStatus.STATE_COMPLETED, RunStatus.STATE_COMPLETED, RunStatus.STATE_CANCELLED,
    ]  # fmt: skip
    assert messages == ["question 1", "You said: a", *told(3, 2)]


@pytest.mark.parametrize("suite", ["one"], indirect=True)
def test_the_example_runs(suite: Suite) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PENTAD": f"{sys.executable} -m pentad_cli",
        "PENTAD_ADDRESS": suite.address,
        "PENTAD_API_KEY_FILE": str(suite.data_dir / "api-key"),
    }
    done = subprocess.run(
        ["sh", "examples/sessions/talk.sh"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    talk, _, again = done.stdout.partition("# another way")
    assert [line.split("  ")[-1].strip() for line in talk.splitlines()[-3:]] == [
        "Tell me slowly about Rome.",
        "Never mind. What about Oslo?",
        "You asked: Never mind. What about Oslo?",
    ]
    assert "Tell me slowly about Rome." in again
    assert "In one word, please." in again
    assert "Oslo" not in again


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """An engine that outlives the state services over it."""
    with running_engine("valkey") as url:
        yield url


@pytest.mark.long
@pytest.mark.parametrize("point", KEEP)
@pytest.mark.parametrize("how", ["raises", "dies"])
async def test_a_failure_between_any_two_steps(how: str, point: str, engine: str) -> None:
    """The orchestrator fails, or dies, once at each step from one run to the next."""
    ask_engine(engine, "FLUSHALL")
    dies = how == "dies"
    with tempfile.TemporaryDirectory(prefix="pentad-walk-") as folder:
        async with open_parts(Path(folder), engine, "orchestrator" if dies else "") as parts:
            with armed({} if dies else {point: "raise@1"}):
                sleeper = agent("sleeper", call("wait", "sleep", seconds=600))
                first = await lingering(parts.kit, sleeper, "talk")
                if dies:
                    await parts.fifth.stop()
                    await parts.fifth.start(point)
                late = await _accepted(parts.kit)
                if dies:
                    assert await parts.fifth.died(30.0), "the point was not reached"
                    await parts.fifth.start()
                ended = await parts.kit.wait(late.run_id)
                await parts.kit.wait(first.run_id)
                messages = await said(parts.kit, "talk")

    assert ended.status.state == RunStatus.STATE_COMPLETED
    assert messages == ["question 1", "You said: a", *told(2)]


async def _accepted(kit: Kit) -> Run:
    """Have the interrupter accepted, however often that takes."""
    while True:
        try:
            spec = ask("echo", "question 2", session_id="talk", session_policy=INTERRUPT)
            return await kit.create(spec, request_id="late")
        except ServiceError as error:
            if error.code.name not in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}:
                raise
        await asyncio.sleep(0.1)
