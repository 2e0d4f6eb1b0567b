"""What processes use, each with those below it.

Postgres has a process for each connection, and they come and go: what one has used must not be
lost when it ends, nor memory that all of them share be counted once for each. Where there is no
/proc, nothing is used.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _TIMES, _OWN_TIMES = 1, slice(11, 15), slice(11, 13)
"""Places in proc(5)'s `stat` behind the name; the times are its own and those of ended children."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a tree of processes holds."""

    rss_mb: float
    """The sum of what each one maps: pages that several map are counted by each."""

    pss_mb: float
    """The same, with such pages divided among those who map them."""


def below(pid: int) -> Sequence[int]:
    """Return a process and all below it."""
    return _tree(pid, _children(), ())


def cpu_s(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the seconds of processor time that each process has used so far, with its tree."""
    tick = os.sysconf("SC_CLK_TCK")
    return {
        role: sum(sum(map(int, _stat(member)[_TIMES])) for member in members) / tick
        for role, members in _trees(processes).items()
    }


def threads_cpu_s(pid: int) -> dict[int, float]:
    """Return the seconds of processor time of each thread that a process has now."""
    tick = os.sysconf("SC_CLK_TCK")
    threads = (_PROC / str(pid) / "task").glob("[0-9]*")
    return {
        int(thread.name): sum(map(int, _fields(thread / "stat")[_OWN_TIMES])) / tick
        for thread in threads
    }


def memory(processes: Mapping[str, int]) -> dict[str, Memory]:
    """Return what each process holds, with its tree."""
    return {role: _held(members) for role, members in _trees(processes).items()}


def _trees(processes: Mapping[str, int]) -> dict[str, Sequence[int]]:
    """Return each process and all below it, up to those that are listed themselves."""
    children = _children()
    listed = frozenset(processes.values())
    return {role: _tree(pid, children, listed - {pid}) for role, pid in processes.items()}


def _tree(pid: int, children: Mapping[int, Sequence[int]], others: Collection[int]) -> list[int]:
    own = (child for child in children.get(pid, ()) if child not in others)
    return [pid, *(member for child in own for member in _tree(child, children, others))]


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for process in sorted(int(entry.name) for entry in _PROC.glob("[0-9]*")):
        if stat := _stat(process):
            found.setdefault(int(stat[_PARENT]), []).append(process)
    return found


def _stat(pid: int) -> list[str]:
    return _fields(_PROC / str(pid) / "stat")


def _fields(stat: Path) -> list[str]:
    """Return what a `stat` says behind the name, the first being the state; nothing if it ended."""
    try:
        text = stat.read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _held(members: Sequence[int]) -> Memory:
    kb = {"Rss": 0, "Pss": 0}
    for member in members:
        for name, held in _rollup(member).items():
            kb[name] += held
    return Memory(rss_mb=kb["Rss"] / 1000, pss_mb=kb["Pss"] / 1000)


def _rollup(pid: int) -> dict[str, int]:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return {}  # it has ended
    fields = (line.partition(":") for line in lines)
    return {name: int(held.split()[0]) for name, _, held in fields if name in {"Rss", "Pss"}}
