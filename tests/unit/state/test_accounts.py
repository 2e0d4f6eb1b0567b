"""Days of budgets, wherever they begin."""

from datetime import UTC, datetime

import pytest

from pentad.state.v1.budget_pb2 import Account
from pentad_chassis.errors import InvalidArgument
from pentad_state.accounts import day_at, from_day, from_key, to_day, to_key, zone_of


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("time", "zone", "day", "over"),
    [
        ("2026-11-20T12:00", "", "2026-11-20", "2026-11-21T00:00"),
        ("2026-11-20T23:30", "Europe/Berlin", "2026-11-21", "2026-11-21T23:00"),
        ("2026-03-29T00:30", "Europe/Berlin", "2026-03-29", "2026-03-29T22:00"),  # of 23 hours
        ("2026-10-25T12:00", "Europe/Berlin", "2026-10-25", "2026-10-25T23:00"),  # of 25 hours
        ("2018-11-03T12:00", "America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00"),  # no midnight
        ("2026-11-20T10:30", "Pacific/Kiritimati", "2026-11-21", "2026-11-21T10:00"),
    ],
)
def test_a_day_ends_at_its_own_midnight(time: str, zone: str, day: str, over: str) -> None:
    assert day_at(ms(time), zone) == (day, ms(over))


@pytest.mark.parametrize("name", ["Mars", "../UTC", "/etc/localtime", "Europe/", "UTC\0", "a b"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        zone_of(name)


def test_keys_and_days_come_back_as_they_went() -> None:
    for account in (
        Account(scope=Account.SCOPE_TENANT),
        Account(scope=Account.SCOPE_AGENT, name="a"),
        Account(scope=Account.SCOPE_SESSION, name="s:1@2"),
        Account(scope=Account.SCOPE_RUN, name="r"),
    ):
        assert from_key(to_key(account)) == account
    assert from_day(to_day("d", "2026-11-20")) == "2026-11-20"
    assert to_day("d", "2026-11-20") > to_day("d", "2026-09-30")
    for wrong in ("today", "2026-13-01", ""):
        with pytest.raises(InvalidArgument):
            to_day("d", wrong)
