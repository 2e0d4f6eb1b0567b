"""What was measured: every sample, the ratios between systems, and the file that keeps it all."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from bench.load import Sample
from bench.usage import Memory
from bench.work import Work

Measure = Callable[[Sample], float]


class Cell(NamedTuple):
    """What one sample is of."""

    work: Work
    in_flight: int
    system: str


@dataclass(slots=True)
class Results:
    """All of one invocation."""

    systems: Sequence[str]
    about: Mapping[str, Any]
    """The settings, the machine, the commit, and what the peers are."""

    rounds: list[dict[Cell, Sample]] = field(default_factory=list)
    absent: dict[Cell, str] = field(default_factory=dict)
    """Why a cell has no figure: it took too long, or went wrong."""
    defects: list[str] = field(default_factory=list)
    """What went wrong; slowness is none."""
    idle_share: dict[str, float] = field(default_factory=dict)
    """How much of a core each system uses while nothing is asked of it."""
    memory: dict[str, dict[str, Memory]] = field(default_factory=dict)
    """What each process of each system holds in the end."""

    def begin_round(self) -> None:
        """Take what is added from now on for another round."""
        self.rounds.append({})

    def add(self, cell: Cell, sample: Sample) -> None:
        """Record one sample of this round."""
        self.rounds[-1][cell] = sample

    @property
    def concurrency(self) -> Sequence[int]:
        """The numbers of runs in flight."""
        return sorted({cell.in_flight for cell in self._cells()})

    @property
    def works(self) -> Sequence[Work]:
        """The kinds of work."""
        return [work for work in Work if any(cell.work is work for cell in self._cells())]

    def able(self, work: Work) -> Sequence[str]:
        """Return the systems that did this work at all."""
        did = {cell.system for cell in self._cells() if cell.work is work}
        return [system for system in self.systems if system in did]

    def samples(self, cell: Cell) -> list[Sample]:
        """Return a cell's samples, one a round; none if the cell has no figure."""
        if cell in self.absent:
            return []
        return [samples[cell] for samples in self.rounds if cell in samples]

    def median(self, cell: Cell, measure: Measure) -> float | None:
        """Return the median over rounds, if there is anything."""
        samples = self.samples(cell)
        return statistics.median(map(measure, samples)) if samples else None

    def ratio(self, cell: Cell, other: Cell, measure: Measure) -> float | None:
        """Return the median of the rounds' ratios of one cell to another, if there are any."""
        ratios = [
            measure(samples[cell]) / measure(samples[other])
            for samples in self.rounds
            if cell in samples and other in samples
        ]
        usable = ratios and not {cell, other} & self.absent.keys()
        return statistics.median(ratios) if usable else None

    def busiest(self, work: Work, system: str) -> Cell | None:
        """Return the cell in which a system gets most done, if there is any."""
        cells = (Cell(work, in_flight, system) for in_flight in self.concurrency)
        rates = {cell: self.median(cell, lambda sample: sample.per_s) for cell in cells}
        known = {cell: rate for cell, rate in rates.items() if rate is not None}
        return max(known, key=lambda cell: known[cell], default=None)

    def _cells(self) -> set[Cell]:
        return {cell for samples in self.rounds for cell in samples} | self.absent.keys()

    def write(self, path: Path) -> None:
        """Keep everything as JSON."""
        path.write_text(json.dumps(self._document(), indent=1) + "\n", encoding="utf-8")

    def _document(self) -> dict[str, Any]:
        return {
            **self.about,
            "systems": list(self.systems),
            "cells": [
                {**cell._asdict(), "rounds": [s.get(cell) and asdict(s[cell]) for s in self.rounds]}
                for cell in sorted(self._cells())
            ],
            "absent": [{**cell._asdict(), "why": why} for cell, why in self.absent.items()],
            "defects": self.defects,
            "idle_share": self.idle_share,
            "memory": {
                system: {role: asdict(held) for role, held in processes.items()}
                for system, processes in self.memory.items()
            },
        }

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what `write` kept."""
        document = json.loads(path.read_text(encoding="utf-8"))
        kept = cls(document.pop("systems"), {})
        cells = [(_cell(each), each["rounds"]) for each in document.pop("cells")]
        for number in range(max((len(rounds) for _, rounds in cells), default=0)):
            kept.begin_round()
            for cell, rounds in cells:
                if sample := rounds[number]:
                    kept.add(cell, Sample(**sample))
        kept.absent = {_cell(each): each["why"] for each in document.pop("absent")}
        kept.defects = document.pop("defects")
        kept.idle_share = document.pop("idle_share")
        kept.memory = {
            system: {role: Memory(**held) for role, held in processes.items()}
            for system, processes in document.pop("memory").items()
        }
        kept.about = document
        return kept


def _cell(document: Mapping[str, Any]) -> Cell:
    return Cell(Work(document["work"]), document["in_flight"], document["system"])
