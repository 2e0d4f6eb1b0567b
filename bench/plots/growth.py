"""`python growth.py RESULT FOLDER`: draw the curves of growth, as ratios to their first points."""
# mypy: disable-error-code="import-not-found"

import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from draw import INK, PAGE, frame, save
from matplotlib import pyplot as plt
from matplotlib.ticker import NullLocator

_LINES = (
    ("runs a second", "per_s", "#0550ae", "o"),
    ("p50", "p50_ms", "#116329", "^"),
    ("CPU a run", "cpu_us", "#a40e26", "s"),
)
_LOWEST, _LEAST_TOP = 0.0, 2.0


def main(result: str, folder: str) -> None:
    """Write the figure."""
    mpl.use("Agg")  # there may be no screen
    book = json.loads(Path(result).read_text(encoding="utf-8"))
    curves = [curve for curve in book["curves"] if curve["points"]]
    panels = len(curves) + bool(book["turns"])
    figure, axes = plt.subplots(1, panels, figsize=(2.3 * panels + 1.2, 3.2), squeeze=False)
    figure.set_facecolor(PAGE)
    for panel, curve in zip(axes[0], curves, strict=False):
        _draw_curve(panel, curve)
    if book["turns"]:
        _draw_turns(axes[0][-1], book["turns"])
    title = "A run beside what is there already, to the first point"
    figure.suptitle(title, color=INK, x=0.02, ha="left", fontsize=11, fontweight="bold")
    figure.set_layout_engine("constrained")
    handles, labels = axes[0][0].get_legend_handles_labels()
    legend = {"loc": "outside lower center", "ncols": len(_LINES), "frameon": False}
    figure.legend(handles, labels, fontsize=8, labelcolor=INK, **legend)
    save(figure, Path(folder) / "growth.png")


def _draw_curve(panel: Any, curve: Mapping[str, Any]) -> None:
    sizes = [point["size"] for point in curve["points"]]
    for label, measure, colour, marker in _LINES:
        beside = [_beside(point, measure) for point in curve["points"]]
        ratios = [each / beside[0] for each in beside]
        panel.plot(sizes, ratios, label=label, color=colour, marker=marker, markersize=4)
    panel.set_xscale("log")
    _dress(panel, curve["title"])
    panel.set_xticks(sizes, [_short(size) for size in sizes])
    panel.xaxis.set_minor_locator(NullLocator())


def _draw_turns(panel: Any, turns: list[Mapping[str, Any]]) -> None:
    events = [each["events"] for each in turns]
    ratios = [each["cpu_ms"] / turns[0]["cpu_ms"] for each in turns]
    _, _, colour, marker = _LINES[-1]
    panel.plot(events, ratios, color=colour, marker=marker, markersize=4)
    _dress(panel, "events in the journal, of a turn")


def _dress(panel: Any, along: str) -> None:
    frame(panel, "", along)
    panel.set_ylim(_LOWEST, max(_LEAST_TOP, panel.get_ylim()[1]))


def _beside(point: Mapping[str, Any], measure: str) -> float:
    """Return the median of the ratios to the suite beside."""
    return statistics.median(_of(g, measure) / _of(b, measure) for g, b in point["rounds"])


def _of(sample: Mapping[str, Any], measure: str) -> float:
    value = sample[measure]
    if isinstance(value, dict):
        return float(sum(us for role, us in value.items() if role != "client"))
    return float(value)


def _short(size: int) -> str:
    return f"{size // 1000}k" if size >= 1000 else str(size)  # noqa: PLR2004 - a kilo


if __name__ == "__main__":
    main(*sys.argv[1:])
