"""`python -m pentad_allinone.tether MODULE FD [ARGUMENT…]`: run what ends with its supervisor.

The supervisor holds the other end of the pipe `FD` and never writes. However it ends, also by
`kill -9`, the kernel closes that end; the service then stops as on SIGTERM, and is killed if it
has not stopped in time. Unlike PR_SET_PDEATHSIG this works on every Unix.
"""

import os
import runpy
import signal
import sys
import threading
import time

_GRACE_S = 5.0


def main() -> None:
    """Become the service, watched over by the pipe."""
    module, descriptor = sys.argv[1], int(sys.argv[2])
    threading.Thread(target=_stop_at_end_of, args=(descriptor,), daemon=True).start()
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _stop_at_end_of(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
