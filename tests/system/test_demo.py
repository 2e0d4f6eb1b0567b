"""The examples run as they stand."""

import os
import shutil
import subprocess
import sys

import pytest
from harness.suite import ROOT, Suite

pytestmark = pytest.mark.system


def test_the_demo_shows_a_whole_run_and_leaves_nothing_behind() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PENTAD_", "OPENAI"))}
    done = subprocess.run(
        [sys.executable, "examples/demo.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Customers of Billing wait longest: 72.3 hours" in done.stdout
    assert done.stdout.count("tool call completed") == 10
    assert "executor, gateway, orchestrator, state, tools" in done.stdout
    assert "pentad: stopped" in done.stdout or "has stopped" in done.stdout


def test_the_python_client_runs(suite: Suite) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PENTAD_ADDRESS": suite.address,
        "PENTAD_API_KEY_FILE": str(suite.data_dir / "api-key"),
    }
    done = subprocess.run(
        [sys.executable, "examples/clients/python_client.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("It is 20")


@pytest.mark.skipif(shutil.which("grpcurl") is None, reason="grpcurl is not installed")
def test_the_grpcurl_lines_run(suite: Suite) -> None:
    suite.pentad("agent", "apply", "-f", "examples/agents/clock.yaml")
    environment = {
        "PATH": os.environ["PATH"],
        "PENTAD_ADDRESS": suite.address,
        "PENTAD_API_KEY_FILE": str(suite.data_dir / "api-key"),
    }
    done = subprocess.run(
        ["sh", "examples/clients/grpcurl.sh"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr
    assert "pentad.gateway.v1.RunService" in done.stdout
    assert '"SERVING"' in done.stdout
    assert "Asia/Tokyo it is" in done.stdout
