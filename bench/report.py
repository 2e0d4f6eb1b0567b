"""Medians over rounds and ratios to the floor, as a table and as a file."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import grpc

from bench.load import Sample

Measure = Callable[[Sample], float]

_COLUMNS: Sequence[tuple[str, str, Measure]] = (
    ("p50 ms", "{:.2f}", lambda sample: sample.p50_ms),
    ("p99 ms", "{:.1f}", lambda sample: sample.p99_ms),
    ("runs/s", "{:.0f}", lambda sample: sample.per_s),
    ("CPU µs/run", "{:.0f}", lambda sample: sum(sample.cpu_us.values())),
)
_LABEL = "{:<11}{:<16}"
_CELL = "{:>10} {:8}"


class Report:
    """Every sample of one invocation; ratios are to the first system, round by round."""

    def __init__(self, systems: Sequence[str], settings: Mapping[str, object]) -> None:
        self._systems = systems
        self._settings = settings
        self._machine = {
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "platform": platform.platform(),
            "python": platform.python_version(),
            "grpcio": grpc.__version__,
        }
        self._samples: dict[tuple[str, int], list[Sample]] = {}

    def add(self, system: str, in_flight: int, sample: Sample) -> None:
        """Record one more round of a cell."""
        self._samples.setdefault((system, in_flight), []).append(sample)

    def lines(self) -> Iterator[str]:
        """Yield the table, then which processes used the processors in its last rows."""
        yield "{cores} cores, load average {load_average:.1f} before".format_map(self._machine)
        titles = "".join(_CELL.format(title, "") for title, _, _ in _COLUMNS)
        yield (_LABEL.format("in flight", "system") + titles).rstrip()
        counts = list(dict.fromkeys(count for _, count in self._samples))
        for count in counts:
            for system in self._systems:
                cells = "".join(self._cell(system, count, *column[1:]) for column in _COLUMNS)
                yield (_LABEL.format(count, system) + cells + self._refused(system, count)).rstrip()
        yield f"\nCPU µs/run with {counts[-1]} in flight, by process"
        for system in self._systems:
            spent = self._cpu_us(system, counts[-1])
            busy = (f"{role} {us:.0f}" for role, us in spent.items() if us >= 1)
            yield f"{system:<16}" + ", ".join(busy)

    def _cell(self, system: str, count: int, form: str, measure: Measure) -> str:
        own = [measure(sample) for sample in self._samples[system, count]]
        floor = [measure(sample) for sample in self._samples[self._systems[0], count]]
        ratio = statistics.median(mine / least for mine, least in zip(own, floor, strict=True))
        beside = "" if system == self._systems[0] else f"({ratio:.2f}x)"
        return _CELL.format(form.format(statistics.median(own)), beside)

    def _refused(self, system: str, count: int) -> str:
        refused = statistics.median(sample.refused for sample in self._samples[system, count])
        return f"refused {refused:.2f} times a run" if refused else ""

    def _cpu_us(self, system: str, count: int) -> dict[str, float]:
        samples = self._samples[system, count]
        return {r: statistics.median(s.cpu_us[r] for s in samples) for r in samples[0].cpu_us}

    def document(self) -> dict[str, object]:
        """Return every sample, and on what it was taken, for JSON."""
        cells = [
            {"system": system, "in_flight": count, "rounds": [asdict(s) for s in samples]}
            for (system, count), samples in self._samples.items()
        ]
        return {"settings": self._settings, "machine": self._machine, "cells": cells}

    def write(self, path: Path) -> None:
        """Write the document."""
        path.write_text(json.dumps(self.document(), indent=1) + "\n", encoding="utf-8")
