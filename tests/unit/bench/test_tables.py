"""The Markdown that goes into the documentation."""

import dataclasses
import re

import pytest
from unit.bench.samples import sample

from bench.results import Cell, Results
from bench.stage import TITLES
from bench.tables import tables
from bench.usage import Memory
from bench.work import Work

FLOOR, SUITE, PEER = TITLES["unary"], TITLES["five"], TITLES["restate"]

ABOUT = {
    "commit": "c0ffee" * 7,
    "settings": {"seconds": 1.0},
    "machine": {
        "cores": 2,
        "processor": "An old one",
        "load_average": 0.25,
        "python": "3.11.7",
        "grpcio": "1.82.3",
    },
}


@pytest.fixture
def results() -> Results:
    kept = Results([FLOOR, SUITE, PEER], ABOUT)
    kept.begin_round()
    for in_flight in (1, 16):
        kept.add(Cell(Work.SIMPLE, in_flight, FLOOR), sample(per_s=1000.0, p50_ms=1.0))
        kept.add(Cell(Work.SIMPLE, in_flight, SUITE), sample(per_s=2000.0, p50_ms=4.0))
        kept.add(Cell(Work.SIMPLE, in_flight, PEER), sample(per_s=500.0, p50_ms=8.0))
    streamed = dataclasses.replace(sample(per_s=10.0), first_token_ms=7.5)
    kept.add(Cell(Work.STREAM, 1, SUITE), streamed)
    kept.absent[Cell(Work.STREAM, 16, SUITE)] = f"{SUITE} did not answer within 20 s"
    kept.memory = {SUITE: {"gateway": Memory(rss_mb=50.0, pss_mb=40.0)}}
    kept.idle_share = {SUITE: 0.015}
    return kept


def rows(results: Results, heading: str) -> list[list[str]]:
    """Return the cells of the tables below a heading."""
    text = "\n".join(tables(results)).split(f"### {heading}\n")[1].partition("\n### ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_row_of_a_table_has_as_many_cells_as_its_title(results: Results) -> None:
    blocks = re.findall(r"(?:^\|.*\n?)+", "\n".join(tables(results)), re.MULTILINE)

    assert len(blocks) == 8
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_ratios_are_to_the_first_system(results: Results) -> None:
    table = rows(results, "Simple run")

    assert table[2] == [FLOOR, "1,000", "1,000", "500"]
    assert table[3] == [SUITE, "2,000 (2.00x)", "2,000 (2.00x)", "500 (1.00x)"]
    assert [SUITE, "4.00, 8.0 (4.00x)", "4.00, 8.0 (4.00x)"] in table


def test_a_stream_counts_tokens_and_says_when_the_first_one_came(results: Results) -> None:
    table = rows(results, "200-token stream")

    assert [SUITE, "2,000", "-", "500"] in table
    assert [SUITE, "7.5", "-"] in table


def test_why_a_cell_has_no_figure_is_said(results: Results) -> None:
    lines = list(tables(results))

    assert f"With 16 in flight: {SUITE} did not answer within 20 s." in lines


def test_the_suite_is_told_beside_each_other_system(results: Results) -> None:
    table = rows(results, f"{SUITE}, beside the others")

    assert [FLOOR, "Simple run", "4.00x", "2.00x", "1.00x"] in table
    assert [PEER, "Simple run", "0.50x", "4.00x", "1.00x"] in table


def test_memory_and_idleness_are_told(results: Results) -> None:
    assert [SUITE, "40", "gateway 40", "1.5"] in rows(results, "Memory, and what idleness costs")
