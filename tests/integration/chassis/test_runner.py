"""The life of a service process, from outside."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = """
from contextlib import asynccontextmanager
from pentad_chassis.config import Settings
from pentad_chassis.runner import main
from pentad_chassis.server import serving


class Config(Settings, env_prefix="PENTAD_TEST_"):
    workers: int = 1


@asynccontextmanager
async def open_app(config, telemetry):
    async with serving(config, telemetry, []):
        print("ready", flush=True)
        yield


main("test", Config, open_app)
"""


def start(tmp_path: Path, **environment: str) -> subprocess.Popen[str]:
    script = tmp_path / "service.py"
    script.write_text(SERVICE)
    return subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PENTAD_TEST_ADDRESS": f"unix:{tmp_path}/s", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_exit_0(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, log = process.communicate(timeout=20)

    assert process.returncode == 0
    assert '"event": "stopped"' in log


def test_wrong_settings_are_told_at_once_and_exit_2(tmp_path: Path) -> None:
    with start(tmp_path, PENTAD_TEST_WORKERS="x", PENTAD_TEST_MAX_STREAMS="y") as process:
        _, log = process.communicate(timeout=20)

    assert process.returncode == 2
    assert [line.split(":")[1].strip() for line in log.splitlines()] == [
        "PENTAD_TEST_MAX_STREAMS",
        "PENTAD_TEST_WORKERS",
    ]


def test_an_address_in_use_is_one_line_and_exit_1(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with start(tmp_path, PENTAD_TEST_ADDRESS=address) as process:
            _, log = process.communicate(timeout=20)

    assert process.returncode == 1
    assert log.splitlines()[-1].startswith("pentad-test: ADDRESS_IN_USE: cannot listen on")
