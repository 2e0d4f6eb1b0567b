"""Processes that a benchmark starts."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.usage import below

ROOT = Path(__file__).parent.parent

_PROC = Path("/proc")
_STOP_S = 30.0
_LOG_TAIL_BYTES = 2000
_SERVICE = re.compile(rb"\bpentad_([a-z]+)\0")
_OWN_PREFIXES = ("PENTAD_", "OTEL_")


class ProcessDied(Exception):
    """A process ended that was to serve; the message ends with the last it said."""


class Process:
    """A child process that writes to a log file."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def check_alive(self) -> None:
        """Raise ProcessDied unless it runs."""
        if (code := self._popen.poll()) is not None:
            said = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
            raise ProcessDied(f"{self._log.stem} ended with code {code}:\n{said}")


@contextmanager
def running(
    arguments: Sequence[str | Path], log: Path, variables: Mapping[str, str | Path] | None = None
) -> Iterator[Process]:
    """Run a program while the block runs, with these variables and no setting of the shell's own.

    One that does not stop in time is killed, with all that it started in its session.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_OWN_PREFIXES)}
    with log.open("wb") as output:
        popen = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=environment | {name: str(value) for name, value in (variables or {}).items()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that Ctrl-C reaches this process alone
        )
    try:
        yield Process(popen, log)
    finally:
        popen.terminate()
        try:
            popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()


def free_address() -> str:
    """Return a loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def family(pid: int) -> dict[str, int]:
    """Return a process and all below it, by what they do; those that do the same are numbered."""
    members: dict[str, int] = {}
    for member in below(pid):
        role = _role(member)
        number = sum(known.partition(".")[0] == role for known in members)
        members[f"{role}.{number + 1}" if number else role] = member
    return members


def _role(pid: int) -> str:
    """Name a process after its service, or else its program."""
    command = (_PROC / str(pid) / "cmdline").read_bytes()
    if found := _SERVICE.search(command):
        return found[1].decode()
    return (_PROC / str(pid) / "comm").read_text().strip()
