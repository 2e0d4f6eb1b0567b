"""`pentad up` from its start to its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.processes import is_alive, tree_of
from harness.suite import Suite, free_port

pytestmark = pytest.mark.system

MODES = pytest.mark.parametrize("mode", [(), ("--processes",)], ids=["one", "five"])


def up(tmp_path: Path, *mode: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a suite without waiting for it."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pentad_cli", "up", *mode, "--data-dir", str(tmp_path / "d")),
            *("--address", f"127.0.0.1:{free_port()}"),
        ],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@MODES
def test_settings_that_cannot_be_used_are_said_before_anything_starts(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    process = up(
        tmp_path, *mode, PENTAD_ORCHESTRATOR_LEASE_S="soon", PENTAD_TOOLS_THREADS_MAX="none"
    )

    _, complaint = process.communicate(timeout=30.0)

    assert process.returncode == 2
    assert complaint.count("\n") == 1
    assert "PENTAD_ORCHESTRATOR_LEASE_S: " in complaint
    assert "PENTAD_TOOLS_THREADS_MAX: " in complaint


def test_replicas_that_cannot_be_are_said_before_anything_starts(tmp_path: Path) -> None:
    process = up(tmp_path, "--replicas", "executor=0,worker=2")

    said, complaint = process.communicate(timeout=60.0)

    assert process.returncode == 2
    assert said == ""
    assert complaint.count("\n") == 1
    assert complaint.startswith("pentad: --replicas: 'executor=0': that is no number of processes")
    assert "--replicas: 'worker=2': there is no such service" in complaint
    assert not (tmp_path / "d").exists()


@MODES
def test_a_service_that_cannot_start_ends_the_suite_with_its_reason(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "api-key").write_text("no key")
    process = up(tmp_path, *mode)

    _, complaint = process.communicate(timeout=60.0)

    assert process.returncode in {1, 2}
    assert "Traceback" not in complaint
    assert "api-key: holds no API key" in complaint
    assert complaint.splitlines()[-1].startswith("pentad: ")


@MODES
def test_ctrl_c_while_it_starts_stops_what_has_started(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    process = up(tmp_path, *mode)
    assert process.stdout is not None
    process.stdout.readline()  # "starting"
    children = tree_of(process.pid)

    process.send_signal(signal.SIGINT)

    said, _ = process.communicate(timeout=30.0)
    assert process.returncode in {0, 130}
    assert "ready at" not in said
    assert not [pid for pid in children if is_alive(pid)]


def test_up_stops_in_order_and_says_where_the_key_is_but_not_the_key(
    new_suite: Callable[..., Suite],
) -> None:
    suite = new_suite()
    key = suite.key

    assert suite.stop() == 0
    suite.restart()
    assert suite.key == key, "the key outlives the suite"
    assert suite.stop() == 0
    assert key not in suite.log.read_text("utf-8")
