"""A soak: what counts as growth of a suite, and the file that keeps it."""

from pathlib import Path

from bench.soak.arrivals import Arrivals
from bench.soak.readings import Reading
from bench.soak.record import Record


def record(
    state_mb: float = 0.0, files: float = 0.0, store_mb: float = 0.0, filling_mb: float = 0.0
) -> Record:
    """Return a soak of an hour in which a process, its files or the store grow by so much."""
    machine = {"cores": 2, "load_average": 0.5}
    about = {"settings": {"keep_s": 60.0}, "machine": machine, "commit": "c0ffee"}
    readings = [
        Reading(
            at_s=3600 * part / 100,
            done=part,
            rss_mb={
                "state": 70 + state_mb * part / 100 + min(0, part - 20) / 20 * filling_mb,
                "valkey-server": 8 + store_mb * part / 100,
            },
            files={"state": 30 + int(files * part / 100), "valkey-server": 20},
            threads={"state": 9, "valkey-server": 6},
            store_mb=2 + store_mb * part / 100,
            keys=1000,
        )
        for part in range(101)
    ]
    return Record(about, 200.0, Arrivals(done=100), readings)


def test_a_suite_that_holds_what_it_held_is_flat() -> None:
    assert not record().grows()


def test_memory_and_open_files_of_a_process_may_not_grow() -> None:
    assert record(state_mb=20).grows()
    assert record(files=20).grows()


def test_the_store_may_since_it_is_there_to_keep_things() -> None:
    assert not record(store_mb=100).grows()


def test_what_fills_up_in_the_beginning_is_no_growth() -> None:
    assert not record(filling_mb=30).grows()


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "soak.json"
    record().write(file)

    assert Record.read(file) == record()


def test_the_table_says_who_grows() -> None:
    rows = [line for line in record(state_mb=20).table() if line.startswith("| state ")]

    assert len(rows) == 1
    assert rows[0].endswith("| GROWS |")
