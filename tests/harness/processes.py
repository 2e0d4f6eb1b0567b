"""Processes of a suite under test, by what `ps` says; only ever those below one that we started."""

import subprocess


def tree_of(root: int) -> list[int]:
    """Return the descendants of a process, parents before children."""
    children: dict[int, list[int]] = {}
    for line in _ps("pid=,ppid=").splitlines():
        pid, parent = map(int, line.split())
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(0), [])
        found += below
        waiting += below
    return found


def command_of(pid: int) -> str:
    """Return a process's command line; empty when it has ended."""
    return _ps("args=", pid).strip()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    state = _ps("stat=", pid).strip()
    return bool(state) and not state.startswith("Z")


def _ps(columns: str, pid: int | None = None) -> str:
    which = ["-A"] if pid is None else ["-p", str(pid)]
    done = subprocess.run(
        ["ps", "-ww", *which, "-o", columns],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    return done.stdout
