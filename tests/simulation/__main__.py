"""`python -m simulation`: play many seeds, and stop at the first that shows a fault.

A seed means the same everywhere: what depends on the order of sets is drawn by other means.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from simulation.world import Summary, simulate


def main() -> int:
    """Return 0 when all went well."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many (200)")
    parser.add_argument("--first", type=int, default=0, help="the first one (0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at work (1)")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    arguments = parser.parse_args()
    begun = time.monotonic()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    faults, endings = 0, Counter[str]()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for summary in pool.map(simulate, seeds, chunksize=4):
            faults += summary.faults
            endings.update(summary.endings)
            if arguments.trace:
                sys.stdout.write("\n".join(summary.notes) + "\n")
            if summary.violations:
                _tell(summary)
                pool.shutdown(cancel_futures=True)
                return 1
    took_s = time.monotonic() - begun
    runs = sum(endings.values())
    ended = ", ".join(f"{kind} {count}" for kind, count in sorted(endings.items()))
    sys.stdout.write(
        f"{len(seeds)} seeds from {arguments.first}: {runs} runs through {faults} faults in"
        f" {took_s:.0f} s; {ended}; 0 lost, 0 duplicated, 0 stuck\n"
    )
    return 0


def _tell(summary: Summary) -> None:
    sys.stdout.write(f"seed {summary.seed} shows a fault:\n")
    for violation in summary.violations:
        sys.stdout.write(f"  {violation}\n")
    sys.stdout.write(f"again, with all that happens: --first {summary.seed} --seeds 1 --trace\n")


if __name__ == "__main__":
    sys.exit(main())
