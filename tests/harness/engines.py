"""Engines for tests of the state service: real servers, on a unix socket in a folder of theirs."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from pentad_state.engine import find_binary

SINGLE = ("valkey", "redis")
"""The embedded one, and the distribution's."""

ENGINES = (*SINGLE, "cluster")
"""A cluster of one node, too: it refuses a script whose keys are not all in one slot."""

_START_S = 10.0


def binary_of(engine: str) -> Path:
    """Return the engine's binary; where it is missing, CI fails and others skip."""
    if engine != "redis":
        return find_binary()
    installed = shutil.which("redis-server")
    if installed is None:
        missing = "no redis-server on the PATH: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return Path(installed)


@contextmanager
def running_engine(engine: str) -> Iterator[str]:
    """Run a server that writes to disk as the embedded one does, and yield its address."""
    binary = binary_of(engine)
    with tempfile.TemporaryDirectory(prefix="pentad-test-") as folder:
        path = Path(folder) / "sock"
        process = subprocess.Popen(
            [
                binary, "--port", "0", "--unixsocket", path, "--dir", folder,
                "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                "--maxmemory-policy", "noeviction", "--loglevel", "warning",
                *(_cluster_settings() if engine == "cluster" else ()),
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"unix://{path}"
            _await_answer(url)
            if engine == "cluster":
                _give_all_slots(url)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=10)


def ask(url: str, *command: str | int) -> object:
    """Return what a server answers to one command."""
    with redis.Redis.from_url(url) as client:
        answer: object = client.execute_command(*command)
        return answer


def _cluster_settings() -> tuple[str, ...]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return ("--cluster-enabled", "yes", "--cluster-port", port, "--bind", "127.0.0.1")


def _give_all_slots(url: str) -> None:
    ask(url, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    until = time.monotonic() + _START_S
    while "ok" not in str(ask(url, "CLUSTER", "INFO")).split("cluster_slots")[0]:
        assert time.monotonic() < until, "the cluster does not come up"
        time.sleep(0.05)


def _await_answer(url: str) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            ask(url, "PING")
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
