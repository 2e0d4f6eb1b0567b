"""Processes that a benchmark starts, and the processor time they have used."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

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
def running(arguments: Sequence[str | Path], log: Path) -> Iterator[Process]:
    """Run a program while the block runs, with no setting of the shell's own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_OWN_PREFIXES)}
    with log.open("wb") as output:
        popen = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=environment,
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
            popen.kill()
            popen.wait()


def free_address() -> str:
    """Return a loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def family(pid: int) -> dict[str, int]:
    """Return a process and all below it, by what they do; nothing where there is no /proc."""
    parents = {int(p.name): _stat(int(p.name))[1] for p in _PROC.glob("[0-9]*")}
    members = {pid} & parents.keys()
    while below := {child for child, parent in parents.items() if parent in members} - members:
        members |= below
    return {_role(member): member for member in sorted(members)}


def cpu_s(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the seconds of processor time that each process has used so far."""
    tick = os.sysconf("SC_CLK_TCK")
    return {role: sum(map(int, _stat(pid)[11:13])) / tick for role, pid in processes.items()}


def _stat(pid: int) -> list[int]:
    """Return the numbers of proc(5)'s `stat`, the first being the state's place, as 0."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return [0] * 20  # it has ended
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]


def _role(pid: int) -> str:
    """Name a process after its service, or else its program."""
    command = (_PROC / str(pid) / "cmdline").read_bytes()
    if found := _SERVICE.search(command):
        return found[1].decode()
    return (_PROC / str(pid) / "comm").read_text().strip()
