"""The `pentad` command against a real suite: output, exit codes, one-line errors."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.builders import ask, gated, writer
from harness.suite import ROOT, Kit, Suite, free_port, wait_for_line

# The command speaks to the gateway alone and cannot tell what stands behind it.
pytestmark = [pytest.mark.system, pytest.mark.parametrize("suite", ["one"], indirect=True)]


def one_line(done: "subprocess.CompletedProcess[str]", code: int) -> str:
    """Return a command's complaint, after checking that it is one line and the exit code."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("pentad: ")
    return done.stderr.removeprefix("pentad: ").rstrip("\n")


def test_from_apply_to_trace(suite: Suite) -> None:
    applied = suite.pentad("agent", "apply", "-f", "examples/agents/clock.yaml")
    assert applied.stdout.startswith("agent clock "), applied.stderr

    ran = suite.pentad("run", "clock", "What time is it in Asia/Tokyo?")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("In Asia/Tokyo it is "), "the answer alone is on standard output"
    assert "current_time" in ran.stderr, "progress is on standard error"

    run_id = suite.pentad("runs", "--limit", "1").stdout.split("\t")[0]
    shown = suite.pentad("show", run_id, "--events")
    assert "completed" in shown.stdout
    assert "tool call completed" in shown.stdout
    traced = suite.pentad("trace", run_id)
    assert "executor, gateway, orchestrator, state, tools" in traced.stdout
    assert "execute_tool current_time" in traced.stdout
    assert suite.pentad("wait", run_id).stdout == ran.stdout


def test_json_is_one_event_a_line_and_its_cursors_continue(suite: Suite) -> None:
    suite.pentad("agent", "apply", "-f", "examples/agents/clock.yaml")
    ran = suite.pentad("run", "clock", "now?", "--json")

    events = [json.loads(line) for line in ran.stdout.splitlines()]

    assert "run_created" in events[0]
    assert "run_completed" in events[-1]
    rest = suite.pentad(
        "tail", events[0]["run_id"], "--after", events[2]["cursor"], "--json"
    ).stdout.splitlines()
    later = [json.loads(line)["seq"] for line in rest if "text_delta" not in json.loads(line)]
    assert later == [e["seq"] for e in events[3:] if "text_delta" not in e]


def test_an_agent_is_created_updated_and_left_alone(suite: Suite) -> None:
    name = f"cli-{suite.topology}"
    text = f"{{name: {name}, model: 'rules:x', rules: [{{name: a, answer: hi}}]}}"

    def apply(document: str) -> str:
        return suite.pentad("agent", "apply", "-f", "-", given=document).stdout.strip()

    assert apply(text) == f"agent {name} created"
    assert apply(text) == f"agent {name} unchanged, revision 1"
    assert apply(text.replace("hi", "hello")) == f"agent {name} updated, revision 2"
    got = suite.pentad("agent", "get", name).stdout
    assert apply(got) == f"agent {name} unchanged, revision 2", "what get prints, apply takes"
    assert name in suite.pentad("agent", "list").stdout
    assert suite.pentad("agent", "delete", name).stdout == f"agent {name} deleted\n"
    assert name not in suite.pentad("agent", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("run", "nobody", "hi"), 1, "(AGENT_NOT_FOUND); see `pentad agent list`"),
        (("run", "clock", ""), 1, "spec.input: "),
        (("run",), 2, "give either AGENT and TEXT or --file"),
        (("show", "00" + "0" * 26), 1, "(RUN_NOT_FOUND); see `pentad runs`"),
        (("session", "nowhere"), 1, "(SESSION_NOT_FOUND); see `pentad sessions`"),
        (("tools", "hammer"), 1, "(TOOL_NOT_FOUND); see `pentad tools`"),
        (("agent", "apply", "-f", "absent.yaml"), 1, "cannot read absent.yaml: No such file"),
        (("runs", "--state", "sleepy"), 2, "no state 'sleepy'; the states are queued, "),
        (("frobnicate",), 2, "No such command 'frobnicate'."),
        (("runs", "--limit", "0"), 2, "'--limit'"),
    ],
    ids=lambda value: " ".join(value)[:20] if isinstance(value, tuple) else "",
)
def test_what_goes_wrong_is_one_line_with_what_to_do(
    suite: Suite, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    assert complaint in one_line(suite.pentad(*arguments), code)


def test_a_field_the_suite_refuses_is_named_with_its_file(suite: Suite) -> None:
    done = suite.pentad("agent", "apply", "-f", "-", given="{name: 'Not OK', model: 'rules:x'}")

    complaint = one_line(done, 1)
    assert complaint.startswith("standard input: name: ")
    assert complaint.endswith("(REQUEST_INVALID)")


def test_without_a_suite_or_a_key_it_says_how_to_get_one(suite: Suite, tmp_path: Path) -> None:
    nowhere = {"PENTAD_ADDRESS": f"127.0.0.1:{free_port()}"}
    line = one_line(suite.pentad("runs", environment=nowhere), 1)
    assert line.startswith(f"no suite answers at {nowhere['PENTAD_ADDRESS']}")
    assert "`pentad up`" in line

    keyless = {"PENTAD_API_KEY_FILE": str(tmp_path / "absent")}
    line = one_line(suite.pentad("runs", environment=keyless), 1)
    assert line.startswith("no API key: cannot read ")

    wrong = {"PENTAD_API_KEY": "pentad_" + "x" * 43}
    assert "(API_KEY_INVALID)" in one_line(suite.pentad("runs", environment=wrong), 1)


def test_a_second_suite_on_the_same_data_is_refused(suite: Suite) -> None:
    done = suite.pentad(
        "up", "--data-dir", str(suite.data_dir), "--address", f"127.0.0.1:{free_port()}"
    )
    line = one_line(done, 1)
    assert line.startswith(f"a suite runs on {suite.data_dir} already (process ")
    assert line.endswith("stop it, or give another --data-dir and --address")


def test_a_second_suite_on_the_same_port_is_refused(suite: Suite, tmp_path: Path) -> None:
    done = suite.pentad("up", "--data-dir", str(tmp_path), "--address", suite.address)

    assert one_line(done, 1).startswith(f"cannot listen on {suite.address}: ")


def test_the_doctor_finds_a_healthy_suite_healthy(suite: Suite) -> None:
    done = suite.pentad("doctor")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "calculator" in done.stdout
    assert suite.key not in done.stdout


def test_the_doctor_fails_without_a_suite(suite: Suite) -> None:
    environment = {"PENTAD_ADDRESS": f"127.0.0.1:{free_port()}"}

    done = suite.pentad("doctor", environment=environment)

    assert "no suite answers" in done.stdout
    assert "1 problem" in one_line(done, 1)


async def test_ctrl_c_leaves_the_run_going_and_says_how_to_follow_it(
    suite: Suite, kit: Kit, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    await kit.apply(gated("patient", str(gate)))
    command = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
        [sys.executable, "-m", "pentad_cli", "run", "patient", "wait", "--json"],
        env={
            **os.environ,
            "PENTAD_ADDRESS": suite.address,
            "PENTAD_API_KEY_FILE": str(suite.data_dir / "api-key"),
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    seen = wait_for_line(command, b"tool_call_started", 20.0)
    run_id = json.loads(seen.splitlines()[0])["run_id"]

    command.send_signal(signal.SIGINT)
    _, complaint = command.communicate(timeout=20.0)

    assert command.returncode == 130
    assert f"pentad tail {run_id}" in complaint.decode()
    gate.touch()
    assert (await kit.wait(run_id)).status.output == "it is open"


async def test_cancel_and_sessions(suite: Suite, kit: Kit, tmp_path: Path) -> None:
    await kit.apply(gated("held", str(tmp_path / "never")), writer("notes", 1))
    run = await kit.create(ask("held"))

    done = suite.pentad("cancel", run.run_id, "--reason", "enough")

    assert done.returncode == 0, done.stderr
    await kit.wait(run.run_id)
    assert "enough" in suite.pentad("show", run.run_id).stdout
    session = f"talk-{suite.topology}"
    suite.pentad("run", "notes", "write it", "--session", session)
    assert session in suite.pentad("sessions").stdout
    said = suite.pentad("session", session).stdout
    assert "write it" in said
    assert "written" in said
