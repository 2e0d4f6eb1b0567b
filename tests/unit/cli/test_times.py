"""Times as people write them."""

import time

import pytest

from pentad_cli.failure import CommandFailed
from pentad_cli.times import start_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("15min", 900), ("1.5h", 5400), ("3d", 259200)]
)
def test_a_delay_counts_from_now(text: str, seconds: int) -> None:
    assert abs(start_of("", text).seconds - time.time() - seconds) < 5


def test_a_time_is_of_its_zone() -> None:
    assert start_of("2026-12-24T18:00:00+01:00", "").ToJsonString() == "2026-12-24T17:00:00Z"
    assert start_of("2026-12-24T18:00Z", "").ToJsonString() == "2026-12-24T18:00:00Z"


def test_a_time_without_a_zone_is_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert start_of("2026-12-24T18:00", "").ToJsonString() == "2026-12-24T09:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("at", "delay"),
    [
        ("tomorrow", ""),
        ("", "soon"),
        ("", "5"),
        ("", "-5s"),
        ("", "9" * 30 + "d"),
        ("0001-01-01T00:00+14:00", ""),
        ("2026-12-24T18:00Z", "5s"),
    ],
)
def test_what_is_no_time_is_wrong_usage(at: str, delay: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        start_of(at, delay)

    assert failed.value.exit_code == 2
