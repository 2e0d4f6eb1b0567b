"""`python tied.py PARENT COMMAND…`: become a command that the kernel kills when its parent dies."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: str, *command: str) -> None:
    """Ask for it, then become the command; also one that is stopped dies with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == int(parent):  # else it died before it could be told apart from living
        os.execv(command[0], command)  # noqa: S606 - becoming a program is what this is for


if __name__ == "__main__":
    main(*sys.argv[1:])
