"""A store of somebody else's: found by its address, and judged by its settings."""

import io
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from harness.engines import ask, binary_of

from pentad_chassis.telemetry import open_telemetry, silent_telemetry
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.soundness import StoreTooOld, check_soundness
from pentad_state.store import Reply, Script, Value

Start = Callable[..., str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server on TCP with a password, as hosted ones are."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*settings: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started.append(
            subprocess.Popen(
                [
                    binary_of("redis"), "--port", str(port), "--bind", "127.0.0.1",
                    "--requirepass", "pass word", "--dir", tmp_path, "--save", "", *settings,
                ],
                stdout=subprocess.DEVNULL,
            )
        )  # fmt: skip
        url = f"redis://:pass%20word@127.0.0.1:{port}/0"
        until = time.monotonic() + 10
        while True:
            try:
                ask(url, "PING")
            except redis.ConnectionError:
                assert time.monotonic() < until
                time.sleep(0.02)
            else:
                return url

    yield start_one
    for process in started:
        process.terminate()
        process.wait(timeout=10)


async def warnings_about(url: str) -> str:
    stream = io.StringIO()
    async with open_core(url, Config(), open_telemetry("state", "info", stream)) as core:
        assert (await core.entries.put("s", "k", b"v", None, None)).version == 1
    assert "pass" not in stream.getvalue()
    return stream.getvalue()


async def test_a_store_on_the_network_is_used_with_its_password(start: Start) -> None:
    url = start("--appendonly", "yes", "--appendfsync", "always")

    assert await warnings_about(url) == ""


async def test_unsafe_settings_are_said(start: Start) -> None:
    url = start("--appendonly", "no", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")

    said = await warnings_about(url)

    assert "maxmemory-policy allkeys-lru" in said
    assert "appendonly no" in said


async def test_settings_that_cannot_be_read_are_unknown(start: Start) -> None:
    url = start("--rename-command", "CONFIG", "")

    assert "does not let us read" in await warnings_about(url)


async def test_a_store_that_is_away_does_not_stop_the_start() -> None:
    stream = io.StringIO()
    telemetry = open_telemetry("state", "info", stream)
    async with open_core("redis://127.0.0.1:1/0", Config(), telemetry):
        pass

    assert "store settings unchecked" in stream.getvalue()


class OldStore:
    """A server of long ago."""

    async def call(self, *command: Value, lasting: bool = False) -> Reply:
        raise AssertionError

    async def everywhere(self, *command: Value) -> list[Reply]:
        assert command == ("INFO", "server")
        return [b"# Server\r\nredis_version:6.0.16\r\n"]

    async def probe(self, within_s: float) -> list[str]:
        raise AssertionError

    async def run(self, script: Script, keys: object, *args: Value) -> Reply:
        raise AssertionError


async def test_a_store_that_is_too_old_is_refused() -> None:
    with pytest.raises(StoreTooOld) as caught:
        await check_soundness(OldStore(), "disk", silent_telemetry("state"))
    assert caught.value.metadata == {"version": "6.0.16"}
