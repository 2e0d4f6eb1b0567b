"""What is put into a process to note its stacks; a real one, told by real signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.layers.profile import INSIDE
from bench.layers.stacks import read_stacks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its timer is Linux's")

SOON_S = 60.0
BUSY = """
def work():
    return sum(n * n for n in range(1000))

print("up", flush=True)
while True:
    work()
"""


def eventually(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_process_notes_where_it_is_when_told_to_and_goes_on(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(INSIDE), "BENCH_STACKS": str(tmp_path)}
    busy = subprocess.Popen([sys.executable, "-c", BUSY], env=environment, stdout=subprocess.PIPE)
    file = tmp_path / str(busy.pid)
    try:
        assert busy.stdout
        busy.stdout.readline()
        functions: set[str] = set()

        def noted() -> bool:
            """Sample again until there was processor time enough for the timer."""
            os.kill(busy.pid, signal.SIGUSR1)
            time.sleep(0.05)
            os.kill(busy.pid, signal.SIGUSR2)
            eventually(file.exists)
            for stack in read_stacks(file.read_text("utf-8")):
                functions.update(frame.function for frame in stack)
            file.unlink()
            return "work" in functions

        eventually(noted)

        assert "<module>" in functions
        assert busy.poll() is None
    finally:
        busy.kill()
        busy.wait()
        if busy.stdout:
            busy.stdout.close()
