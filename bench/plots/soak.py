"""`python soak.py RESULT FOLDER`: draw what every process and the store held during a soak."""
# mypy: disable-error-code="import-not-found"

import json
import sys
from pathlib import Path

import matplotlib as mpl
from draw import INK, PAGE, frame, save
from matplotlib import pyplot as plt

_COLOURS = {
    "gateway": "#0550ae",
    "orchestrator": "#116329",
    "executor": "#8250df",
    "tools": "#bc4c00",
    "state": "#a40e26",
}
_STORE = "#57606a"


def main(result: str, folder: str) -> None:
    """Write the figure."""
    mpl.use("Agg")  # there may be no screen
    readings = json.loads(Path(result).read_text(encoding="utf-8"))["readings"]
    minutes = [reading["at_s"] / 60 for reading in readings]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), facecolor=PAGE)
    for process, colour in _COLOURS.items():
        held = [reading["rss_mb"][process] for reading in readings]
        left.plot(minutes, held, label=process, color=colour, linewidth=1.2)
    frame(left, "memory of a process, MB", "minutes")
    right.plot(minutes, [reading["store_mb"] for reading in readings], color=_STORE, label="store")
    frame(right, "data in the store, MB", "minutes")
    for panel in (left, right):
        panel.set_ylim(0, 1.15 * panel.get_ylim()[1])
    figure.suptitle(
        "Under half of the most load", color=INK, x=0.02, ha="left", fontsize=11, fontweight="bold"
    )
    legend = {"loc": "outside right center", "fontsize": 8, "frameon": False, "labelcolor": INK}
    figure.set_layout_engine("constrained")
    figure.legend(**legend)
    save(figure, Path(folder) / "soak.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
