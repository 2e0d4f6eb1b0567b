"""Tables are for people; pipes get lines that other programs can cut."""

import pytest

from pentad.state.v1.message_pb2 import Usage
from pentad_cli.output import print_fields, print_rows
from pentad_cli.words import clip, cost, duration, printable


def test_a_pipe_gets_tab_separated_lines_without_header(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_rows(("A", "B"), [("1", "two\nlines"), ("3", "\x1b[31mred")], "nothing")

    assert capsys.readouterr().out == "1\ttwo lines\n3\t[31mred\n"


def test_nothing_found_is_no_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("A",), [], "nothing")

    assert capsys.readouterr().out == ""


def test_fields_are_aligned_and_empty_ones_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("run", "r1"), ("reason", ""), ("output", "a\nb")])

    assert capsys.readouterr().out == "run     r1\noutput  a\n        b\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.42 s"), (59.99, "59.99 s"), (185.0, "3 min 5 s"), (7800.0, "2 h 10 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("nano_usd", "words"),
    [(0, "$0.00"), (1_230_000_000, "$1.23"), (10_000_000, "$0.01"), (21_700, "$0.000022")],
)
def test_a_small_cost_is_not_rounded_to_nothing(nano_usd: int, words: str) -> None:
    assert cost(Usage(cost_nano_usd=nano_usd)) == words


def test_text_is_bounded_and_cannot_steer_a_terminal() -> None:
    assert clip("a" * 300, 10) == "a" * 9 + "…"
    assert clip("a\r\nb\tc\x1b]0;x\x07") == "a b c ]0;x"
    assert printable("a\x1b[2J\nb\u202ec") == "a[2J\nbc"
