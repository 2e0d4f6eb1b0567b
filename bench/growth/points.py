"""What was measured: every sample with the one beside it, and the file that keeps them."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from bench.growth.turns import Bin
from bench.inside import Held
from bench.load import Sample

Measure = Callable[[Sample], float]


class Round(NamedTuple):
    """One sample of each suite, taken one after the other."""

    grown: Sample
    beside: Sample
    """Of a suite that holds next to nothing and is asked the same."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a run costs with so much of something there."""

    size: int
    rounds: Sequence[Round]
    held: Held
    """Before the rounds."""
    idle_us: Mapping[str, float]
    """Processor time that each process uses in a second in which nothing is asked of the suite."""

    def median(self, measure: Measure) -> float:
        """Return the median over rounds."""
        return statistics.median(measure(each.grown) for each in self.rounds)

    def beside(self, measure: Measure) -> float:
        """Return the median of the ratios to the suite beside it."""
        return statistics.median(measure(r.grown) / measure(r.beside) for r in self.rounds)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one more of something takes of memory."""

    what: str
    count: int
    """Of so many, added at once."""
    kb: Mapping[str, float]
    """By process."""
    store_kb: float
    """By the store's own account."""
    keys: float


@dataclass(slots=True)
class Curve:
    """One kind of growth."""

    name: str
    title: str
    points: list[Point] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)
    """Of what was added last, and most."""
    left_out: dict[int, str] = field(default_factory=dict)
    """Sizes that were not measured, and why."""

    def ratio(self, point: Point, measure: Measure) -> float:
        """Return how a point stands to the first, less what the suite beside it went through."""
        return point.beside(measure) / self.points[0].beside(measure)

    def take(self, added: Mapping[str, tuple[int, Held, Held]]) -> None:
        """Take note of what things take that were added."""
        for what, (count, before, after) in added.items():
            if count <= 0:
                continue
            self.costs[what] = Cost(
                what,
                count,
                {r: 1e3 * (after.rss_mb[r] - mb) / count for r, mb in before.rss_mb.items()},
                1e3 * (after.store_mb - before.store_mb) / count,
                (after.keys - before.keys) / count,
            )


@dataclass(slots=True)
class Book:
    """All of one invocation."""

    about: Mapping[str, Any]
    curves: list[Curve] = field(default_factory=list)
    turns: list[Bin] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Keep everything as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what `write` kept."""
        document = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            document["about"],
            [_curve(curve) for curve in document["curves"]],
            [Bin(**each) for each in document["turns"]],
        )


def _curve(document: dict[str, Any]) -> Curve:
    points = [_point(point) for point in document.pop("points")]
    costs = {what: Cost(**cost) for what, cost in document.pop("costs").items()}
    left_out = {int(size): why for size, why in document.pop("left_out").items()}
    return Curve(**document, points=points, costs=costs, left_out=left_out)


def _point(document: dict[str, Any]) -> Point:
    rounds = [Round(*(Sample(**sample) for sample in each)) for each in document.pop("rounds")]
    held = Held(**document.pop("held"))
    return Point(**document, rounds=rounds, held=held)
