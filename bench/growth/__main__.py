"""`python -m bench.growth`: what a run costs when much is stored, open or waiting already.

Two suites on five processes are up at the same time: one is filled, the other holds next to
nothing and is measured in turn with it, so that whatever else the machine does falls on both. A
curve is told in ratios to its first point, each less what the suite beside it went through. And
one long run: whether its turns cost more the later they come. Prints Markdown, and keeps every
sample in bench/out. Exits 1 when journal or store grow faster than a run does. Needs Linux.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.arguments import existing_file, real_number, whole_number
from bench.command import carried_out
from bench.growth.measure import Plan, measure_growth
from bench.growth.points import Book
from bench.growth.stocks import KINDS
from bench.growth.tables import grows, tables
from bench.plots.drawing import GROWTH, draw
from bench.site import OUT

_TURNS = "turns"


def main() -> int:
    """Measure, or show what was measured earlier."""
    arguments = _arguments()
    if arguments.earlier:
        file, book = arguments.earlier, Book.read(arguments.earlier)
    else:
        book = carried_out(measure_growth(_plan(arguments)))
        file = OUT / f"growth-{time.strftime('%Y%m%d-%H%M%S')}.json"
        book.write(file)
    for line in tables(book):
        print(line)
    sys.stderr.write(f"\nbench: every sample is in {file}\n")
    if arguments.figures:
        draw(file, arguments.figures, GROWTH)
    return int(grows(book.turns))


def _plan(arguments: argparse.Namespace) -> Plan:
    return Plan(
        kinds=[name for name in KINDS if name in arguments.curves],
        most=arguments.most,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        in_flight=arguments.in_flight,
        minutes=arguments.minutes,
        calls=arguments.calls if _TURNS in arguments.curves else 0,
        tokens=arguments.tokens,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    add = parser.add_argument
    known = (*KINDS, _TURNS)
    every = ",".join(known)
    curves = f"of {every} (all)"
    add("--curves", type=_names, default=every, metavar="NAME,…", help=curves)
    add("--most", type=_most, default=100_000, help="leave out larger cases (100000)")
    add("--rounds", type=whole_number, default=6, help="turns of each suite at each point (6)")
    add(
        "--seconds",
        type=partial(real_number, least=0.1, most=60.0),
        default=1.0,
        help="length of a turn (1)",
    )
    add("--in-flight", type=whole_number, default=16, help="runs in flight (16)")
    late = "points that would come later than after so many are left out (9)"
    add("--minutes", type=partial(real_number, least=0.1, most=120.0), default=9.0, help=late)
    add("--calls", type=whole_number, default=250, help="tool calls of the long run (250)")
    add("--tokens", type=_most, default=250_000, help="that they return in all (250000)")
    add("--figures", type=Path, metavar="FOLDER", help="where to draw a figure (nowhere)")
    earlier = "measure nothing, and show an earlier result"
    add("--from", type=existing_file, metavar="FILE", dest="earlier", help=earlier)
    return parser.parse_args()


def _names(text: str) -> Sequence[str]:
    names = text.split(",")
    for name in names:
        if name not in KINDS and name != _TURNS:
            raise argparse.ArgumentTypeError(
                f"there is no curve {name!r}; give some of {', '.join((*KINDS, _TURNS))}"
            )
    return names


def _most(text: str) -> int:
    return whole_number(text, 1_000_000)


if __name__ == "__main__":
    sys.exit(main())
