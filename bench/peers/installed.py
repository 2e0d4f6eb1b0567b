"""What `install` puts on this machine, and what each peer's programs are started with."""

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.processes import ROOT, ProcessDied
from bench.site import OUT, Missing

_HERE = Path(__file__).parent
APPS = _HERE / "apps"
INSTALLED = OUT / "peers"

_END_S = 60.0


def versions() -> dict[str, str]:
    """Return what the peers run on, as `install` pins it."""
    requirements = (_HERE / "requirements.in").read_text(encoding="utf-8").splitlines()
    package = json.loads((_HERE / "package.json").read_text(encoding="utf-8"))
    python = (line.split("==") for line in requirements if "==" in line)
    return {**dict(python), **package["dependencies"]}


def program(path: Path) -> Path:
    """Return the path of an installed program; Missing unless it is there."""
    if not path.exists():
        raise Missing(f"{path.relative_to(ROOT)} is not there; bench/peers/install installs it")
    return path


async def perform(
    *command: str | Path, folder: Path = ROOT, variables: Mapping[str, str] | None = None
) -> None:
    """Run a program to its end; ProcessDied with what it said unless it succeeds."""
    # By the standard library and in a thread: as the event loop starts processes, gRPC complains.
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=folder,
        env=os.environ | (variables or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_END_S,
        check=False,
    )
    if ended.returncode:
        said = ended.stdout.decode(errors="replace")
        raise ProcessDied(f"{command[0]} ended with code {ended.returncode}:\n{said}")
