"""What every process holds, at moments of a soak."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.inside import Inside

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is held at one moment."""

    at_s: float
    """Since the load began."""
    done: int
    """Runs that have ended since then."""
    rss_mb: Mapping[str, float]
    """By process."""
    files: Mapping[str, int]
    """Open file descriptors, by process."""
    threads: Mapping[str, int]
    store_mb: float
    """What the store says that its data takes."""
    keys: int


def read(suite: Inside, at_s: float, done: int) -> Reading:
    """Return what a suite holds now."""
    held = suite.held()
    files = {role: _count(pid, "fd") for role, pid in suite.processes.items()}
    threads = {role: _count(pid, "task") for role, pid in suite.processes.items()}
    return Reading(at_s, done, held.rss_mb, files, threads, held.store_mb, held.keys)


def _count(pid: int, what: str) -> int:
    return sum(1 for _ in (_PROC / str(pid) / what).iterdir())
