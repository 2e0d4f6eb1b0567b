"""What is measured, and on whom."""

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import grpc

from bench.load import WrongAnswer
from bench.processes import ROOT, Process, ProcessDied

HERE = Path(__file__).parent
APPS = HERE / "apps"
INSTALLED = ROOT / "bench" / "out" / "peers"
"""Where `install` puts what the peers run on."""

QUESTION = "Where is my order?"
ANSWER = "Your order is on its way."
STEPS = 5
TOKENS = tuple(f"token{number} " for number in range(200))

_START_S = 60.0
_POLL_S = 0.1
_NOT_YET = (OSError, EOFError, WrongAnswer, grpc.aio.AioRpcError)

Run = Callable[[], Awaitable[None]]


class Work(StrEnum):
    """What one run consists of."""

    SIMPLE = "simple run"
    """One agent answers, once."""

    STEPS = "5-step durable run"
    """Five steps in sequence, each recorded before the run has ended."""

    STREAM = "200-token stream"
    """One agent passes a model's tokens on as they come."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a system is given to run with."""

    data: Path
    """An empty folder of its own, on the disk that is measured."""

    sockets: Path
    """An empty folder of its own whose path is short enough for sockets."""

    model_url: str
    """Of the API of the model that every stream comes from, as OpenAI's clients want it."""

    def log(self, name: str) -> Path:
        """Return where a program's output goes."""
        return self.data.with_name(f"{self.data.name}-{name}.log")


class Missing(Exception):
    """A peer cannot be started on this machine; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A system that is up."""

    name: str

    runs: Mapping[Work, Run]
    """Performs one run of each kind of work that it can do; raises WrongAnswer if it went wrong."""

    processes: Mapping[str, int]
    """Process ids, by what the processes do; those below them count as theirs."""


def versions() -> dict[str, str]:
    """Return what the peers run on, as `install` pins it."""
    requirements = (HERE / "requirements.in").read_text(encoding="utf-8").splitlines()
    package = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    python = (line.split("==") for line in requirements if "==" in line)
    return {**dict(python), **package["dependencies"]}


def program(path: Path) -> Path:
    """Return the path of an installed program; Missing unless it is there."""
    if not path.exists():
        raise Missing(f"{path.relative_to(ROOT)} is not there; bench/peers/install installs it")
    return path


def with_environment(
    variables: Mapping[str, str | Path], *command: str | Path
) -> tuple[str | Path, ...]:
    """Return a command that runs another one, in the same process, with these variables set."""
    return ("env", *(f"{name}={value}" for name, value in variables.items()), *command)


async def perform(*command: str | Path, folder: Path = ROOT) -> None:
    """Run a program to its end; ProcessDied with what it said unless it succeeds."""
    # By the standard library and in a thread: as the event loop starts processes, gRPC complains.
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_START_S,
        check=False,
    )
    if ended.returncode:
        said = ended.stdout.decode(errors="replace")
        raise ProcessDied(f"{command[0]} ended with code {ended.returncode}:\n{said}")


async def until_done(action: Run, *processes: Process) -> None:
    """Repeat `action` until it succeeds; what keeps it from that is raised at last, or a death."""
    give_up = time.monotonic() + _START_S
    while True:
        for process in processes:
            process.check_alive()
        try:
            return await action()
        except _NOT_YET:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(_POLL_S)
