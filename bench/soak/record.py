"""A soak as a file and as Markdown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from bench.soak.arrivals import Arrivals
from bench.soak.readings import Reading
from bench.soak.trend import Trend, trend

_FILLS_UP = 1 / 3
"""The part of a soak in which whatever fills up once may fill up."""

_FEW = (1.5, 8.0, 2.0)
"""Megabytes, open files and threads that a process may gain and still be flat: connections come of
age after five minutes, and one that is replaced may linger on each hop."""


@dataclass(frozen=True, slots=True)
class Record:
    """All of one soak."""

    about: Mapping[str, Any]
    peak: float
    """Runs a second."""
    arrivals: Arrivals
    readings: Sequence[Reading]

    def grows(self) -> bool:
        """Tell whether a process grows that keeps nothing: memory, open files or threads."""
        return any(
            _grows(self._trends(process)) for process in self._processes() if not _stores(process)
        )

    def table(self) -> Iterator[str]:
        """Yield the table, with the lines around it."""
        yield self._heading()
        yield ""
        yield "| process | MB at first | mean | in the end | MB an hour | files | threads | |"
        yield "|---|---|---|---|---|---|---|---|"
        first, last = self.readings[0], self.readings[-1]
        for process in self._processes():
            trends = self._trends(process)
            files = _from_to(first.files[process], last.files[process])
            threads = _from_to(first.threads[process], last.threads[process])
            ends = first.rss_mb[process], last.rss_mb[process]
            yield _row(process, ends, trends[0], files, threads, _verdict(process, trends))
        store = self._trend([reading.store_mb for reading in self.readings])
        keys = f"keys: {_from_to(first.keys, last.keys)}"
        yield _row("data in the store", (first.store_mb, last.store_mb), store, keys)

    def _heading(self) -> str:
        settings, machine = self.about["settings"], self.about["machine"]
        first, last = self.readings[0], self.readings[-1]
        rate = last.done / (last.at_s - first.at_s)
        return (
            f"{last.at_s:,.0f} s at {rate:,.0f} runs/s, of {self.peak:,.0f} at the most: "
            f"{self.arrivals.done:,} runs, {self.arrivals.refused:,} refused, "
            f"{self.arrivals.not_begun:,} not begun. What has ended is kept for "
            f"{settings['keep_s']:g} s. Commit {self.about['commit'][:12]}, {machine['cores']} "
            f"cores, load average {machine['load_average']:.1f} before the start."
        )

    def _processes(self) -> Sequence[str]:
        return list(self.readings[0].rss_mb)

    def _trends(self, process: str) -> Sequence[Trend]:
        """Return how memory, open files and threads of a process go."""
        return [
            self._trend([reading.rss_mb[process] for reading in self.readings]),
            self._trend([reading.files[process] for reading in self.readings]),
            self._trend([reading.threads[process] for reading in self.readings]),
        ]

    def _trend(self, values: Sequence[float]) -> Trend:
        """Return how a measure goes once what fills up has done so."""
        begin_s = _FILLS_UP * self.readings[-1].at_s
        settled = [
            (reading.at_s, value)
            for reading, value in zip(self.readings, values, strict=True)
            if reading.at_s >= begin_s
        ]
        return trend([at_s for at_s, _ in settled], [value for _, value in settled])

    def write(self, path: Path) -> None:
        """Keep everything as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what `write` kept."""
        document = json.loads(path.read_text(encoding="utf-8"))
        arrivals = Arrivals(**document.pop("arrivals"))
        readings = [Reading(**each) for each in document.pop("readings")]
        return cls(**document, arrivals=arrivals, readings=readings)


def _row(
    what: str, ends: tuple[float, float], own: Trend, files: str, threads: str = "", said: str = ""
) -> str:
    first, last = ends
    slope = f"{own.per_hour:+,.1f} ± {own.noise_per_hour:,.1f}"
    cells = (what, f"{first:,.1f}", f"{own.mean:,.1f}", f"{last:,.1f}", slope, files, threads, said)
    return f"| {' | '.join(cells)} |"


def _from_to(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} → {last:,}"


def _verdict(process: str, trends: Sequence[Trend]) -> str:
    if _stores(process):
        return ""
    return "GROWS" if _grows(trends) else "flat"


def _grows(trends: Sequence[Trend]) -> bool:
    return any(own.grows(few) for own, few in zip(trends, _FEW, strict=True))


def _stores(process: str) -> bool:
    """Tell whether a process is there to keep things."""
    return process.endswith("-server")
