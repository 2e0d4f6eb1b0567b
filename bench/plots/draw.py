"""`python draw.py RESULT FOLDER`: draw a figure for each kind of work in a result.

On the left how much each system gets done, on the right how long one run takes, against the runs
in flight. It runs in an environment of its own, which holds matplotlib and nothing of Pentad.
"""
# mypy: disable-error-code="import-not-found"

import io
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from PIL import Image

TOKENS = 200
TITLES = {"simple": "Simple run", "steps": "5-step durable run", "stream": "200-token stream"}

PAGE, INK, FAINT = "#fbfbfa", "#24292f", "#d5d9dd"
"""A light card with dark ink: it reads on a light page and on a dark one."""

_COLOURS = 64

LINES = (
    ("bare chain, unary", "#57606a", "--", "s"),
    ("bare chain, coalesced", "#8c959f", "--", "D"),
    ("Pentad, five processes", "#0550ae", "-", "o"),
    ("Pentad, five, linked client", "#0969da", "-.", "p"),
    ("Pentad, five, no link", "#54aeff", ":", "o"),
    ("Pentad, one process", "#116329", "-", "^"),
    ("Pentad, one, no link", "#4ac26b", ":", "^"),
    ("Restate", "#8250df", "-", "v"),
    ("DBOS", "#bc4c00", "-", "P"),
    ("LangGraph", "#a40e26", "-", "X"),
)

Points = tuple[list[int], list[float]]


def main(result: str, folder: str) -> None:
    """Write the figures."""
    mpl.use("Agg")  # there may be no screen
    document = json.loads(Path(result).read_text(encoding="utf-8"))
    absent = [(each["work"], each["in_flight"], each["system"]) for each in document["absent"]]
    cells = [
        cell
        for cell in document["cells"]
        if (cell["work"], cell["in_flight"], cell["system"]) not in absent
    ]
    for work in TITLES:
        own = [cell for cell in cells if cell["work"] == work]
        if own:
            draw(work, own, Path(folder))


def draw(work: str, cells: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the figure of one kind of work."""
    done = "tokens a second" if work == "stream" else "runs a second"
    times = TOKENS if work == "stream" else 1
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.9), facecolor=PAGE)
    for system, colour, dashes, marker in LINES:
        style = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 5}
        counts, rates = points(cells, system, "per_s")
        if counts:
            left.plot(counts, [rate * times for rate in rates], label=system, **style)
            right.plot(*points(cells, system, "p50_ms"), **style)
    in_flight = sorted({cell["in_flight"] for cell in cells})
    dress(left, done, in_flight)
    dress(right, "p50, ms", in_flight)
    figure.suptitle(TITLES[work], color=INK, x=0.02, ha="left", fontsize=11, fontweight="bold")
    legend = {"loc": "outside right center", "fontsize": 8, "frameon": False, "labelcolor": INK}
    figure.set_layout_engine("constrained")
    figure.legend(**legend)
    save(figure, folder / f"{work}.png")


def save(figure: Any, path: Path) -> None:
    """Write a figure and let go of it. Few colours are all there are, and make a third of it."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(_COLOURS).save(path, optimize=True)


def points(cells: Sequence[Mapping[str, Any]], system: str, measure: str) -> Points:
    """Return a system's medians against the runs in flight."""
    own = sorted(
        (cell["in_flight"], statistics.median(s[measure] for s in cell["rounds"] if s))
        for cell in cells
        if cell["system"] == system and any(cell["rounds"])
    )
    return [count for count, _ in own], [median for _, median in own]


def dress(axes: Any, title: str, in_flight: Sequence[int]) -> None:
    """Make a panel legible: both axes logarithmic, a tick for each count."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    frame(axes, title, "runs in flight")
    axes.set_xticks(in_flight, [str(count) for count in in_flight])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def frame(axes: Any, title: str, along: str) -> None:
    """Give a panel its titles, plain numbers and a faint grid."""
    axes.set_facecolor(PAGE)
    axes.set_title(title, color=INK, fontsize=9, loc="left")
    axes.set_xlabel(along, color=INK, fontsize=8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.tick_params(colors=INK, labelsize=8, which="both")
    axes.grid(visible=True, color=FAINT, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_color(FAINT)


if __name__ == "__main__":
    main(*sys.argv[1:])
