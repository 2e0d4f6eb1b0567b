"""Curves: ratios to their first points, less what the suite beside went through."""

from pathlib import Path

import pytest
from unit.bench.samples import sample

from bench.growth.points import Book, Curve, Point, Round
from bench.growth.tables import grows, tables
from bench.growth.turns import Bin
from bench.inside import Held
from bench.load import Sample


def per_s(taken: Sample) -> float:
    return taken.per_s


def held(mb: float = 70.0, store_mb: float = 1.0, keys: int = 10) -> Held:
    return Held({"state": mb, "valkey-server": 8.0}, store_mb, keys)


def point(size: int, *rates: tuple[float, float]) -> Point:
    rounds = [Round(sample(per_s=grown), sample(per_s=beside)) for grown, beside in rates]
    return Point(size, rounds, held(), {"state": 100.0})


def turns(*journal_bytes: float) -> list[Bin]:
    return [
        Bin(20 * number, 100 * number, each, 8000.0, 10.0, 15.0, 500.0)
        for number, each in enumerate(journal_bytes, 1)
    ]


def book() -> Book:
    machine = {"cores": 2, "load_average": 0.5}
    settings = {"rounds": 1, "seconds": 2.0, "in_flight": 16}
    about = {"settings": settings, "machine": machine, "commit": "c0ffee"}
    curve = Curve("runs", "runs stored", [point(1, (100, 100)), point(1000, (90, 100))])
    curve.left_out[100_000] = "no time"
    curve.take({"ended run": (1000, held(), held(mb=72.0, store_mb=4.0, keys=2010))})
    return Book(about, [curve], turns(4000, 4010, 3990))


def test_what_falls_on_both_suites_is_no_growth() -> None:
    curve = Curve("runs", "runs stored", [point(1, (100, 100)), point(1000, (50, 50))])

    assert curve.ratio(curve.points[1], per_s) == pytest.approx(1.0)


def test_what_falls_on_the_grown_suite_alone_is() -> None:
    curve = Curve("runs", "runs stored", [point(1, (80, 100)), point(1000, (40, 100))])

    assert curve.ratio(curve.points[1], per_s) == pytest.approx(0.5)


def test_one_odd_round_does_not_make_a_ratio() -> None:
    found = point(1, (100, 100), (10, 100), (100, 100))

    assert found.beside(per_s) == pytest.approx(1.0)


def test_what_one_more_takes_is_told_of_what_was_added_last() -> None:
    curve = Curve("runs", "runs stored")
    curve.take({"ended run": (10, held(), held(mb=71.0))})
    curve.take({"ended run": (1000, held(), held(mb=72.0, store_mb=4.0, keys=2010))})
    curve.take({"ended run": (0, held(), held(mb=99.0))})

    cost = curve.costs["ended run"]
    assert cost.count == 1000
    assert cost.kb["state"] == pytest.approx(2.0)
    assert cost.store_kb == pytest.approx(3.0)
    assert cost.keys == pytest.approx(2.0)


def test_a_journal_that_grows_faster_than_its_run_is_noticed() -> None:
    assert not grows(turns(4000, 4010, 3990))
    assert grows(turns(4000, 5000, 6000))
    assert not grows([])


def test_a_book_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "growth.json"
    book().write(file)

    assert Book.read(file) == book()


def test_tables_name_what_was_left_out() -> None:
    lines = list(tables(book()))

    assert "100,000 runs stored are left out: no time." in lines
    assert any(line.startswith("| 1,000 | 90 (0.90x) |") for line in lines)
    assert any(line.startswith("| ended run | 1,000 | 3.00 | 2.0 |") for line in lines)
