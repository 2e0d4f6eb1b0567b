"""What took place outside of the suite, as those say to whom it was done."""

from collections import Counter
from pathlib import Path

ONCE = "pay"
CHECKED = "ship"
IDEMPOTENT = "post"
REFUSED = "refused"
"""A second parcel of one number, which the carrier did not take."""


class Ledger:
    """Reads what the tools in `plugin/` wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "parcels").mkdir(parents=True)

    def count(self) -> dict[str, Counter[str]]:
        """Return, for each tool, how often each key took place."""
        counts: dict[str, Counter[str]] = {
            name: Counter() for name in (ONCE, CHECKED, IDEMPOTENT, REFUSED)
        }
        for line in self._lines():
            what, key, *_ = line.split()
            counts[what][key] += 1
        # The parcel is the effect; the line about it is what a kill may take away.
        parcels = (path.name.replace("_", "/", 1) for path in (self.folder / "parcels").iterdir())
        counts[CHECKED] = Counter(parcels)
        return counts

    def about(self, key: str) -> list[str]:
        """Return all that was written under a key."""
        return [line for line in self._lines() if f" {key} " in line]

    def _lines(self) -> list[str]:
        path = self.folder / "lines"
        return path.read_text("utf-8").splitlines() if path.exists() else []
