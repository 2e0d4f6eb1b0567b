"""What `python -m bench` understands, and what it says of what it does not."""

from pathlib import Path

import pytest

from bench.arguments import parse
from bench.stage import TITLES
from bench.work import Work


def test_by_default_everything_is_measured() -> None:
    arguments = parse("", [])

    assert arguments.works == list(Work)
    assert arguments.concurrency == [1, 16, 64, 256]
    assert arguments.systems == list(TITLES)


def test_fewer_cells_are_named_in_any_order() -> None:
    words = "--workload steps,simple --concurrency 16,1 --systems restate,unary --rounds 1"
    arguments = parse("", words.split())

    assert arguments.works == [Work.STEPS, Work.SIMPLE]
    assert arguments.concurrency == [1, 16]
    assert arguments.systems == ["unary", "restate"]
    assert arguments.rounds == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--workload simple,loop", "there is no 'loop'; give some of simple, steps, stream"),
        ("--systems six", "there is no 'six'; give some of unary, coalesced, five"),
        ("--systems five,five", "names one twice"),
        ("--concurrency 1,,2", "'' is not a whole number from 1 to 1000"),
        ("--concurrency 0", "'0' is not a whole number from 1 to 1000"),
        ("--concurrency 1001", "'1001' is not a whole number from 1 to 1000"),
        ("--concurrency 4,4", "names one twice"),
        ("--rounds 2.5", "'2.5' is not a whole number from 1 to 100"),
        ("--rounds ²", "'²' is not a whole number from 1 to 100"),
        ("--seconds soon", "'soon' is not a number from 0.1 to 60"),
        ("--seconds nan", "'nan' is not a number from 0.1 to 60"),
        ("--seconds 0", "'0' is not a number from 0.1 to 60"),
        ("--minutes inf", "'inf' is not a number from 0.1 to 600"),
        ("--via pigeon", "invalid choice: 'pigeon'"),
        ("--from nowhere.json", "there is no file 'nowhere.json'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        parse("", words.split())

    assert exited.value.code == 2
    assert said in capsys.readouterr().err


def test_an_earlier_result_is_named_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.touch()

    assert parse("", ["--from", str(file)]).earlier == file
