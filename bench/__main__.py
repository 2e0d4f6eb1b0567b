"""`python -m bench`: the suite beside bare gRPC chains, and beside what users could pick instead.

All are up at the same time and take turns inside each round, so that whatever else the machine
does falls on all of them. Compare ratios: absolute times do not travel. Prints Markdown, and keeps
every sample in bench/out. A benchmark asserts nothing of time: it fails when an answer is wrong.
"""

import sys
import time
from pathlib import Path

from bench.arguments import Arguments, parse
from bench.command import carried_out
from bench.machine import commit, machine
from bench.peers.installed import versions
from bench.plots.drawing import draw
from bench.results import Results
from bench.rounds import measure_all
from bench.site import OUT
from bench.stage import open_systems
from bench.suite import VIA
from bench.tables import tables


def main() -> int:
    """Measure, or show what was measured earlier; return 1 when an answer was wrong."""
    arguments = parse(__doc__)
    if arguments.earlier:
        _show(Results.read(arguments.earlier), arguments.earlier, arguments.figures)
        return 0
    results = carried_out(_measured(arguments))
    file = OUT / f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
    results.write(file)
    _show(results, file, arguments.figures)
    for defect in results.defects:
        sys.stderr.write(f"bench: {defect}\n")
    return int(bool(results.defects))


async def _measured(arguments: Arguments) -> Results:
    begun = time.monotonic()
    about = {
        "settings": arguments.settings(),
        "machine": machine(),
        "commit": commit(),
        "peers": versions(),
    }
    async with open_systems(arguments.systems, VIA[arguments.via]) as systems:
        results = Results([system.name for system in systems], about)
        await measure_all(systems, arguments, results, begun)
    return results


def _show(results: Results, file: Path, figures: Path | None) -> None:
    for line in tables(results):
        print(line)
    sys.stderr.write(f"\nbench: every sample is in {file}\n")
    if figures:
        draw(file, figures)


if __name__ == "__main__":
    sys.exit(main())
