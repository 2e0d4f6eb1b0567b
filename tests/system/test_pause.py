"""Runs that wait for a person: paused on request, or parked by a call nobody knows about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.builders import agent, answer, ask, call, diary
from harness.suite import Kit, Suite, kinds, until

from pentad.gateway.v1.run_service_pb2 import (
    CancelRunRequest,
    PauseRunRequest,
    ResumeRunRequest,
)
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_chassis.errors import FailedPrecondition, ServiceError

pytestmark = pytest.mark.system

SOON = {"PENTAD_ORCHESTRATOR_LEASE_S": "1.5", "PENTAD_TOOLS_HOLD_S": "0.5"}
"""What a dead process held is known to be free sooner than by default."""


def open_gate(path: Path) -> None:
    """Let a tool go on that waits for the file."""
    path.touch()


def deliveries_in(path: Path) -> list[str]:
    """Return the keys of the deliveries that were made."""
    return path.read_text("utf-8").splitlines() if path.exists() else []


async def seen(kit: Kit, run_id: str, kind: str, tool: str = "") -> None:
    """Return once the run's events hold one of that kind."""
    async for event in kit.events(run_id):
        if event.WhichOneof("kind") == kind and tool in str(event):
            return


async def paused(kit: Kit, run_id: str) -> Run:
    """Return the run once it is paused."""

    async def is_paused() -> bool:
        try:
            return (await kit.get(run_id)).status.state == RunStatus.STATE_PAUSED
        except ServiceError:
            return False

    await until(is_paused, 30.0, f"run {run_id} is paused")
    return await kit.get(run_id)


async def pause_in_flight(kit: Kit, gate: Path) -> Run:
    """Return a run that was paused while it waited for the gate, which is open now."""
    run = await kit.create(ask("diary"))
    await seen(kit, run.run_id, "tool_call_started", "gate")
    asked = await kit.client.runs.PauseRun(PauseRunRequest(run_id=run.run_id, reason="lunch"))
    assert asked.run.pause_requested
    assert asked.run.status.state == RunStatus.STATE_RUNNING, "what is in hand ends first"
    open_gate(gate)
    return await paused(kit, run.run_id)


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_a_paused_run_outlives_the_suite_and_goes_on_where_it_stopped(
    new_suite: Callable[..., Suite], tmp_path: Path
) -> None:
    made = new_suite(**SOON)
    async with made.open() as kit:
        await kit.apply(diary(str(tmp_path / "gate")))
        run = await pause_in_flight(kit, tmp_path / "gate")
        assert (run.status.pause.reason, run.status.pause.message) == ("PAUSE_REQUESTED", "lunch")
        assert not run.pause_requested
    made.kill9()
    made.restart()

    assert made.pentad("runs", "--state", "paused").stdout.split("\t")[:2] == [run.run_id, "paused"]
    assert f"pentad resume {run.run_id}" in made.pentad("show", run.run_id).stdout
    resumed = made.pentad("resume", run.run_id, "--reason", "back")
    assert resumed.returncode == 0, resumed.stderr

    async with made.open() as kit:
        events = await kit.tail(run.run_id)
    assert kinds(events)[-1] == "run_completed"
    journal = [e for e in events if e.WhichOneof("kind") != "text_delta"]
    assert [e.seq for e in journal] == list(range(1, len(journal) + 1))
    at = kinds(events).index("run_paused")
    assert kinds(events)[at + 1 : at + 3] == ["run_started", "run_resumed"]
    assert kinds(events)[at + 3] in {"turn_started", "turn_restarted"}
    assert not journal[at + 1].run_started.owner_lost, "nobody held it when the suite died"
    (notebook,) = made.notebooks.glob("*/diary.txt")
    lines = [line.rpartition(" [")[0] for line in notebook.read_text("utf-8").splitlines()]
    assert lines == ["line 0", "line 1"]


async def test_a_paused_run_can_be_cancelled_and_not_resumed_then(
    five: Suite, tmp_path: Path
) -> None:
    async with five.open() as kit:
        await kit.apply(diary(str(tmp_path / "gate")))
        run = await pause_in_flight(kit, tmp_path / "gate")
        await kit.client.runs.CancelRun(CancelRunRequest(run_id=run.run_id, reason="never mind"))
        ended = await kit.wait(run.run_id)
        with pytest.raises(FailedPrecondition) as refused:
            await kit.client.runs.ResumeRun(ResumeRunRequest(run_id=run.run_id))

    assert ended.status.state == RunStatus.STATE_CANCELLED
    assert ended.status.cancel_reason == "never mind"
    assert refused.value.reason == "RUN_NOT_PAUSED"


async def test_a_resume_that_is_sent_twice_counts_once(five: Suite, tmp_path: Path) -> None:
    async with five.open() as kit:
        await kit.apply(diary(str(tmp_path / "gate")))
        run = await pause_in_flight(kit, tmp_path / "gate")
        request = ResumeRunRequest(run_id=run.run_id, request_id="the-same")
        for _ in range(2):
            await kit.client.runs.ResumeRun(request)
        events = await kit.tail(run.run_id)
        await kit.client.runs.ResumeRun(request)

    assert kinds(events).count("run_resumed") == 1


def courier(path: Path) -> Any:
    """Return an agent that delivers with a tool that cannot tell afterwards whether it did."""
    return agent(
        "courier",
        call("send", "deliver_blindly", path=str(path)),
        answer("it went well: {send}", "send"),
        answer("it went wrong: {send}", after_failure="send"),
    )


async def park(five: Suite, kit: Kit, path: Path) -> Run:
    """Return a run whose tool-runner died in the middle of a delivery."""
    await kit.apply(courier(path))
    run = await kit.create(ask("courier"))

    async def delivered() -> bool:
        return bool(deliveries_in(path))

    await until(delivered, what="the tool has begun")
    (runner,) = five.children("pentad_tools ")
    five.kill9_child(runner)
    return await paused(kit, run.run_id)


@pytest.mark.parametrize(
    ("finding", "output", "deliveries"),
    [
        ('done:"signed for"', "it went well: signed for", 1),
        ("failed:nobody at home", "it went wrong: TOOL_FAILED: nobody at home", 1),
        ("not-done", "it went well: delivered", 2),
    ],
)
async def test_a_call_whose_runner_died_waits_for_a_person_who_settles_it(
    five: Suite, tmp_path: Path, finding: str, output: str, deliveries: int
) -> None:
    path = tmp_path / "deliveries"
    async with five.open() as kit:
        run = await park(five, kit, path)
        (effect,) = run.status.pause.unknown_effects
        assert run.status.pause.reason == "EFFECT_OUTCOME_UNKNOWN"
        assert (effect.tool, str(path) in effect.arguments.text) == ("deliver_blindly", True)
        shown = five.pentad("show", run.run_id, "--events").stdout
        assert f"{effect.call_id} deliver_blindly" in shown
        assert "nobody knows whether it took place" in shown

        unsettled = five.pentad("resume", run.run_id)
        assert (unsettled.returncode, "SETTLEMENT_MISSING" in unsettled.stderr) == (1, True)

        open_gate(Path(f"{path}.gate"))
        settled = five.pentad("resume", run.run_id, "--settle", f"{effect.call_id}={finding}")
        assert settled.returncode == 0, settled.stderr
        ended = await kit.wait(run.run_id)
        events = await kit.tail(run.run_id)

    assert (ended.status.state, ended.status.output) == (RunStatus.STATE_COMPLETED, output)
    assert kinds(events).count("tool_call_started") == 1
    assert kinds(events).count("tool_call_completed") == 1
    assert len(deliveries_in(path)) == deliveries


async def test_a_delayed_run_begins_when_its_time_has_come(five: Suite) -> None:
    async with five.open() as kit:
        await kit.apply(agent("echo", answer("You said: {input}")))
    ran = five.pentad("run", "echo", "hello", "--in", "2s", "--priority", "5")
    assert (ran.returncode, ran.stdout) == (0, "You said: hello\n"), ran.stderr

    run_id = five.pentad("runs", "--limit", "1").stdout.split("\t")[0]
    async with five.open() as kit:
        run = await kit.get(run_id)
        events = await kit.tail(run_id)
    (started,) = [e.time for e in events if e.HasField("run_started")]
    assert run.spec.priority == 5
    assert run.spec.start_time.ToNanoseconds() <= started.ToNanoseconds() + 10**6
