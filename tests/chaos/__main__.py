"""`python -m chaos --seconds N [--seed N]`: exits 1 if a promise was broken, and says which.

What the services said is kept then, in the folder named at the end; otherwise nothing is.
"""

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from chaos.report import report
from chaos.run import Order, Outcome, carry_out


def main() -> int:
    """Carry out what the arguments order."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to strike")
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat it")
    parser.add_argument("--clients", type=int, default=8, help="runs at a time")
    given = parser.parse_args()
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    _say(f"seed {seed}")
    # Paths of unix sockets end at about 108 bytes, so that it is made where paths are short.
    folder = Path(tempfile.mkdtemp(prefix="pentad-chaos-", dir="/tmp"))
    outcome: Outcome | None = None
    try:
        order = Order(seconds=given.seconds, seed=seed, clients=given.clients)
        outcome = asyncio.run(_interruptible(order, folder))
    finally:
        if outcome is None or outcome.right:
            shutil.rmtree(folder)
    _say(report(outcome))
    if outcome.right:
        return 0
    _say(f"what the services said: {folder}")
    return 1


async def _interruptible(order: Order, folder: Path) -> Outcome:
    """SIGTERM ends it as Ctrl-C does: with nothing left behind."""
    began_s = time.monotonic()

    def tell(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began_s:6.0f} s  {line}\n")

    task = asyncio.create_task(carry_out(order, folder, tell))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
