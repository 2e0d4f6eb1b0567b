"""Ratios between systems, and the file that keeps every sample."""

from pathlib import Path

import pytest
from unit.bench.samples import sample

from bench.load import Sample
from bench.results import Cell, Results
from bench.usage import Memory
from bench.work import Work


def per_s(taken: Sample) -> float:
    return taken.per_s


def cell(system: str, in_flight: int = 1, work: Work = Work.SIMPLE) -> Cell:
    return Cell(work, in_flight, system)


def results(**rates: list[float]) -> Results:
    """Return rounds in which systems have these rates, with one in flight."""
    kept = Results(list(rates), {"commit": "c0ffee"})
    for number in range(max(map(len, rates.values()))):
        kept.begin_round()
        for system, each in rates.items():
            kept.add(cell(system), sample(per_s=each[number]))
    return kept


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians() -> None:
    kept = results(floor=[100, 10, 50], suite=[50, 20, 100])

    assert kept.ratio(cell("suite"), cell("floor"), per_s) == pytest.approx(2.0)


def test_only_rounds_that_hold_both_make_a_ratio() -> None:
    kept = results(floor=[100], suite=[50])
    kept.begin_round()
    kept.add(cell("suite"), sample(per_s=1000))

    assert kept.ratio(cell("suite"), cell("floor"), per_s) == pytest.approx(0.5)


def test_a_cell_that_failed_once_has_no_figure() -> None:
    kept = results(floor=[100], suite=[50])
    kept.absent[cell("suite")] = "it did not answer"

    assert kept.median(cell("suite"), per_s) is None
    assert kept.ratio(cell("suite"), cell("floor"), per_s) is None
    assert kept.busiest(Work.SIMPLE, "suite") is None
    assert kept.able(Work.SIMPLE) == ["floor", "suite"]


def test_the_busiest_cell_is_that_of_the_highest_median() -> None:
    kept = Results(["suite"], {})
    for rates in ({1: 10, 16: 90, 64: 80}, {1: 10, 16: 85, 64: 300}, {1: 10, 16: 95, 64: 70}):
        kept.begin_round()
        for in_flight, rate in rates.items():
            kept.add(cell("suite", in_flight), sample(per_s=rate))

    assert kept.busiest(Work.SIMPLE, "suite") == cell("suite", 16)
    assert kept.concurrency == [1, 16, 64]
    assert kept.works == [Work.SIMPLE]


def test_the_file_keeps_everything(tmp_path: Path) -> None:
    kept = results(floor=[100, 110], suite=[50, 60])
    kept.begin_round()
    kept.add(cell("floor"), sample(per_s=120))  # the time was up before the suite's turn
    kept.absent[cell("suite", 256, Work.STREAM)] = "it did not answer"
    kept.defects = ["it answered 42"]
    kept.idle_share = {"floor": 0.0, "suite": 0.25}
    kept.memory = {"suite": {"gateway": Memory(rss_mb=2.0, pss_mb=1.5)}}

    kept.write(tmp_path / "result.json")

    assert Results.read(tmp_path / "result.json") == kept
