"""`python -m bench.soak`: whether anything grows under half of the most load, for ten minutes.

Five processes. First the most that a closed loop gets done; then runs begin at a share of that
rate. Some call a tool, some are part of a conversation. Every few seconds: memory, open files and
threads of every process, and what the store holds. What is kept for days is kept for a minute, so
that the store reaches what it stays at, too. The first third is left out of the trends: whatever
fills up once fills up then. Exits 1 when a process but the store grows. Needs Linux.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from bench.arguments import existing_file, real_number, whole_number
from bench.command import carried_out
from bench.plots.drawing import SOAK, draw
from bench.site import OUT
from bench.soak.measure import Plan, measure_soak
from bench.soak.record import Record


def main() -> int:
    """Soak, or show an earlier soak."""
    arguments = _arguments()
    if arguments.earlier:
        file, record = arguments.earlier, Record.read(arguments.earlier)
    else:
        plan = Plan(arguments.seconds, arguments.share, arguments.every, arguments.keep)
        record = carried_out(measure_soak(plan))
        file = OUT / f"soak-{time.strftime('%Y%m%d-%H%M%S')}.json"
        record.write(file)
    for line in record.table():
        print(line)
    sys.stderr.write(f"\nbench: every reading is in {file}\n")
    if arguments.figures:
        draw(file, arguments.figures, SOAK)
    return int(record.grows())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=_seconds, default=600, help="how long (600)")
    add(
        "--share",
        type=partial(real_number, least=0.05, most=1.0),
        default=0.5,
        help="load, as a part of the most (0.5)",
    )
    add(
        "--every",
        type=partial(real_number, least=0.5, most=600.0),
        default=5.0,
        help="seconds between two readings (5)",
    )
    add(
        "--keep",
        type=partial(real_number, least=1.0, most=3600.0),
        default=60.0,
        help="seconds that what has ended is kept (60)",
    )
    add("--figures", type=Path, metavar="FOLDER", help="where to draw a figure (nowhere)")
    earlier = "measure nothing, and show an earlier result"
    add("--from", type=existing_file, metavar="FILE", dest="earlier", help=earlier)
    return parser.parse_args()


def _seconds(text: str) -> int:
    return whole_number(text, 7 * 24 * 3600)


if __name__ == "__main__":
    sys.exit(main())
