"""What was measured: a table for each kind of work, and how the suite stands to each peer."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.load import Sample
from bench.peers.peer import Peer, Work
from bench.report import Report

Round = Mapping[int, Sample]
"""The samples of one system on one kind of work, by the number of runs in flight."""

_MEASURES: Sequence[tuple[str, Callable[[Round], float]]] = (
    ("p50 at fewest", lambda samples: samples[min(samples)].p50_ms),
    ("most runs/s", lambda samples: max(sample.per_s for sample in samples.values())),
    ("CPU/run at most", lambda samples: sum(samples[max(samples)].cpu_us.values())),
)
_LABEL = "{:<20}{:<16}"
_CELL = "{:>18}"


class Results:
    """Every sample of one invocation; all ratios are the first system's to another's."""

    def __init__(self, peers: Sequence[Peer], settings: Mapping[str, object]) -> None:
        self._subject = peers[0].name
        self._rounds: dict[Work, dict[str, list[dict[int, Sample]]]] = {}
        self._reports: dict[Work, Report] = {}
        self._memory_mb: dict[str, Mapping[str, float]] = {}
        for work in Work:
            able = [peer.name for peer in peers if work in peer.runs]
            self._rounds[work] = {name: [] for name in able}
            self._reports[work] = Report(able, settings)

    def begin_round(self) -> None:
        """Take what is added from now on for another round."""
        for systems in self._rounds.values():
            for rounds in systems.values():
                rounds.append({})

    def add(self, work: Work, system: str, in_flight: int, sample: Sample) -> None:
        """Record one sample of this round."""
        self._rounds[work][system][-1][in_flight] = sample
        self._reports[work].add(system, in_flight, sample)

    def add_memory(self, system: str, memory_mb: Mapping[str, float]) -> None:
        """Record what the processes of a system hold in the end."""
        self._memory_mb[system] = memory_mb

    def lines(self) -> Iterator[str]:
        """Yield all tables."""
        for work, report in self._reports.items():
            yield from ("", work.upper(), *report.lines())
        yield from ("", *self._ratios())
        yield "\nMemory, MB"
        for system, held in self._memory_mb.items():
            parts = ", ".join(f"{role} {mb:.0f}" for role, mb in held.items())
            yield f"{system:<16}{sum(held.values()):>6.0f}: {parts}"

    def _ratios(self) -> Iterator[str]:
        titles = "".join(_CELL.format(title) for title, _ in _MEASURES)
        yield _LABEL.format(f"{self._subject} to", "") + titles
        for work, systems in self._rounds.items():
            for system in systems:
                if system != self._subject:
                    cells = (self._ratio(work, system, measure) for _, measure in _MEASURES)
                    yield _LABEL.format(work, system) + "".join(_CELL.format(c) for c in cells)

    def _ratio(self, work: Work, system: str, measure: Callable[[Round], float]) -> str:
        """Return the median of the rounds' ratios."""
        rounds = self._rounds[work]
        pairs = zip(rounds[self._subject], rounds[system], strict=True)
        ratio = statistics.median(measure(own) / measure(other) for own, other in pairs)
        return f"{ratio:.2f}x"

    def write(self, path: Path) -> None:
        """Write every sample, and on what it was taken, as JSON."""
        document = {
            "work": {work: report.document() for work, report in self._reports.items()},
            "memory_mb": self._memory_mb,
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
