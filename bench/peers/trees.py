"""What processes use, each with those below it.

Postgres has a process for each connection, and they come and go: what one has used must not be
lost when it ends, nor memory that all of them share be counted once for each.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _TIMES = 1, slice(11, 15)
"""Places in proc(5)'s `stat` behind the name; the times are its own and those of ended children."""

Tree = Mapping[str, Iterable[int]]


def trees(processes: Mapping[str, int]) -> Tree:
    """Return each process and all below it, up to those that are listed themselves."""
    below: dict[int, list[int]] = {}
    for process in map(int, (entry.name for entry in _PROC.glob("[0-9]*"))):
        if stat := _stat(process):
            below.setdefault(int(stat[_PARENT]), []).append(process)
    listed = set(processes.values())

    def tree(process: int) -> list[int]:
        children = (child for child in below.get(process, ()) if child not in listed)
        return [process, *(member for child in children for member in tree(child))]

    return {role: tree(process) for role, process in processes.items()}


def cpu_s(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the seconds of processor time that each tree has used so far."""
    tick = os.sysconf("SC_CLK_TCK")
    return {
        role: sum(sum(map(int, _stat(member)[_TIMES])) for member in members) / tick
        for role, members in trees(processes).items()
    }


def memory_mb(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the megabytes that each tree holds, shared pages divided among those who share."""
    return {role: sum(map(_pss_kb, members)) / 1000 for role, members in trees(processes).items()}


def _stat(process: int) -> list[str]:
    """Return what `stat` says behind the name, the first being the state; nothing if it ended."""
    try:
        text = (_PROC / str(process) / "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _pss_kb(process: int) -> int:
    try:
        lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
