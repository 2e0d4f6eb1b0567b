"""Becomes the engine, in such a way that the engine ends when the service that started it dies.

Run as a program of its own: a process may only ask this for itself, between its fork and its
exec, and no Python may safely run there in a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: str, *command: str) -> None:
    """Ask to be stopped when the parent dies, then become the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() == int(parent):  # else it died before it could be told apart from living
        os.execv(command[0], command)  # noqa: S606 - becoming a program is what this is for


if __name__ == "__main__":
    main(*sys.argv[1:])
