"""Times of schedules: cron with its zones, constant distances, bounds and jitter."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given
from hypothesis import strategies as st
from unit.orchestrator.schedule_world import cron, every

from pentad.state.v1.schedule_pb2 import Schedule
from pentad_orchestrator.schedules.timing import Times, TimingInvalid, times_of

BERLIN = "Europe/Berlin"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def following(schedule: Schedule, after: str, count: int) -> list[str]:
    times, found = times_of(schedule), [ms(after)]
    for _ in range(count):
        at = times.after(found[-1])
        assert at is not None
        found.append(at)
    return [datetime.fromtimestamp(at / 1000, UTC).strftime("%d %H:%M:%S") for at in found[1:]]


def test_a_time_that_the_clocks_jump_over_comes_when_they_have_jumped() -> None:
    """Clocks in Berlin went from 02:00 to 03:00 at 01:00 UTC on 28 March 2027."""
    found = following(cron("30 2 * * *", BERLIN), "2027-03-27T00:00+01:00", 3)

    assert found == ["27 01:30:00", "28 01:00:00", "29 00:30:00"]


def test_a_time_that_comes_twice_counts_once() -> None:
    """Clocks in Berlin went from 03:00 back to 02:00 at 01:00 UTC on 31 October 2027."""
    found = following(cron("30 2 * * *", BERLIN), "2027-10-30T00:00+02:00", 3)

    assert found == ["30 00:30:00", "31 00:30:00", "01 01:30:00"]


def test_between_the_two_comings_of_a_time_the_next_is_tomorrow() -> None:
    found = following(cron("30 2 * * *", BERLIN), "2027-10-31T01:10+00:00", 1)

    assert found == ["01 01:30:00"]


def test_what_comes_every_hour_comes_every_hour_of_that_night() -> None:
    found = following(cron("0 * * * *", BERLIN), "2027-10-30T23:30+00:00", 4)

    assert found == ["31 00:00:00", "31 01:00:00", "31 02:00:00", "31 03:00:00"]


def test_six_fields_begin_with_seconds() -> None:
    found = following(cron("*/20 * * * * *"), "2027-01-15T12:00:00+00:00", 3)

    assert found == ["15 12:00:20", "15 12:00:40", "15 12:01:00"]


def test_a_constant_distance_is_counted_from_1970_and_never_drifts() -> None:
    schedule = every(7.5, interval={"every": "7.500s", "phase": "1s"})
    found = following(schedule, "1970-01-01T00:00:03.217+00:00", 3)

    assert found == ["01 00:00:08", "01 00:00:16", "01 00:00:23"]
    assert times_of(schedule).after(1000) == 8500


def test_times_keep_within_begin_and_end_both_included() -> None:
    bounds = {"start_time": "2027-01-15T12:00:00Z", "end_time": "2027-01-15T12:00:20Z"}
    times = times_of(every(10, **bounds))
    first = ms("2027-01-15T12:00:00+00:00")

    assert times.after(0) == first
    assert times.after(first + 10_000) == first + 20_000
    assert times.after(first + 20_000) is None


def test_jitter_is_drawn_by_the_time_and_stays_within_its_bound() -> None:
    times, plain = times_of(every(60, jitter="30s")), times_of(every(60))
    draws = [times.starts_at(at) - at for at in range(0, 6_000_000, 60_000)]

    assert draws == [times.starts_at(at) - at for at in range(0, 6_000_000, 60_000)]
    assert all(0 <= each <= 30_000 for each in draws)
    assert len(set(draws)) > 50
    assert plain.starts_at(60_000) == 60_000


@pytest.mark.parametrize(
    ("schedule", "field", "words"),
    [
        (cron("61 * * * *"), "cron", "valid minute"),
        (cron("* * * *"), "cron", "five fields"),
        (cron("0 0 30 2 *"), "cron", "valid day-of-month"),
        (cron("0 0 * * *", "Europe/Berln"), "time_zone", "Europe/Berlin"),
        (cron("0 0 * * *", "../../etc/passwd"), "time_zone", "IANA"),
        (every(60, time_zone="Europe"), "time_zone", "IANA"),
        (every(0), "interval.every", "at least 1 second"),
        (Schedule(), "cron", "or `interval`"),
    ],
)
def test_what_makes_no_sense_is_named_with_what_would(
    schedule: Schedule, field: str, words: str
) -> None:
    with pytest.raises(TimingInvalid, match=words) as refused:
        times_of(schedule)

    assert refused.value.field == field


def test_a_date_that_never_comes_has_no_time() -> None:
    assert times_of(cron("0 0 */31 2 SUN#5")).after(0) is None


@given(st.text("0123456789*,-/#LWMONJAN ", max_size=30))
def test_no_expression_does_more_than_be_refused(text: str) -> None:
    """Whatever is not refused has times that only grow, if any."""
    try:
        CronSim(text, datetime.fromtimestamp(0, UTC))
    except CronSimError:
        with pytest.raises(TimingInvalid):
            times_of(cron(text, BERLIN))
        return
    found = _some(times_of(cron(text, BERLIN)), 0)
    assert all(before < after for before, after in pairwise(found))


@given(
    st.sampled_from(["30 2 * * *", "*/15 * * * *", "0 1-3 * * *", "15 */2 * * *", "0 30 2 * * *"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(ms("2027-03-01T00:00+00:00"), ms("2027-11-30T00:00+00:00")),
    st.integers(0, 86_400_000),
)
def test_it_does_not_matter_from_where_one_looks(
    expression: str, zone: str, start: int, ahead: int
) -> None:
    """An orchestrator that comes later sees the times that one would have seen from the start."""
    times = times_of(cron(expression, zone))
    (first, *_) = seen = _some(times, start)
    later = start + ahead % (seen[-1] - start)

    assert times.after(later) == next(at for at in seen if at > later)
    assert first > start


def _some(times: Times, start: int) -> list[int]:
    found: list[int] = []
    at: int | None = start
    while at is not None and len(found) < 120:
        at = times.after(at)
        found += [] if at is None else [at]
    return found
