"""Accounts of budgets, as they are kept: their keys, their limits, their days."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pentad.state.v1.budget_pb2 import Account, AccountBudget, Amounts, Budget
from pentad_state.bounds import check_name, invalid
from pentad_state.journal import to_time

PART = "\x1f"
"""Divides what is kept together; no name holds it."""

AMOUNT_MAX = 10**15
"""The scripts add as floating point, exact up to nine times as much."""

DAILY = frozenset({Account.SCOPE_TENANT, Account.SCOPE_AGENT})
QUANTITIES = ("tokens", "cost_nano_usd", "turns", "tool_calls")

_UTC = "UTC"
_LETTERS: Mapping[Account.Scope.ValueType, str] = {
    # In this order they are listed.
    Account.SCOPE_TENANT: "0",
    Account.SCOPE_AGENT: "1",
    Account.SCOPE_SESSION: "2",
    Account.SCOPE_RUN: "3",
}
_SCOPES = {letter: scope for scope, letter in _LETTERS.items()}
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,31}){0,2}")
_STAMP = 13
_EPOCH = date(1970, 1, 1)


def to_key(account: Account) -> str:
    """Return what an account is kept under; InvalidArgument for what is no account."""
    letter = _LETTERS.get(account.scope)
    if letter is None:
        raise invalid("account.scope", "must be set")
    if account.scope == Account.SCOPE_TENANT:
        return letter
    check_part("account.name", account.name)
    return f"{letter}:{account.name}"


def from_key(key: str) -> Account:
    """Return the account that is kept there."""
    return Account(scope=_SCOPES[key[0]], name=key[2:])


def described(account: Account) -> str:
    """Return the account in words."""
    scope = Account.Scope.Name(account.scope).removeprefix("SCOPE_").lower()
    return f"{scope} {account.name}" if account.name else f"the {scope}"


def check_part(field: str, name: str) -> None:
    """Refuse a name that cannot be told from others beside it."""
    check_name(field, name)
    if PART in name:
        raise invalid(field, "must not hold a unit separator")


def to_limit(field: str, budget: Budget) -> list[str]:
    """Return the quantities of a budget; an empty text bounds nothing."""
    limit: list[str] = []
    for name in QUANTITIES:
        bounded = budget.HasField(name)  # type: ignore[arg-type] # all of them are its fields
        number = int(getattr(budget, name))
        if bounded and not 0 < number <= AMOUNT_MAX:
            raise invalid(f"{field}.{name}", f"must be from 1 to {AMOUNT_MAX}")
        limit.append(str(number) if bounded else "")
    return limit


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone of that name; InvalidArgument if there is none."""
    zone = _ZONE.fullmatch(name or _UTC)
    with suppress(ValueError, OSError, LookupError):
        if zone:
            return ZoneInfo(zone.string)
    raise invalid("budget.time_zone", "must be the name of a time zone, or empty")


def day_at(ms: int, zone: str) -> tuple[str, int]:
    """Return the day that it is in a zone at that time, and when it is over."""
    place = zone_of(zone)
    today = datetime.fromtimestamp(ms / 1000, place).date()
    midnight = datetime.combine(today + timedelta(days=1), time(), place)
    # Some zones skip midnight, or have it twice, when their clocks change.
    return today.isoformat(), max(int(midnight.timestamp() * 1000), ms + 1)


def to_day(field: str, day: str) -> str:
    """Return a day as usage is kept under: its number, so that texts sort as days do."""
    try:
        return f"{(date.fromisoformat(day) - _EPOCH).days:06d}"
    except ValueError:
        raise invalid(field, "must be a day such as 2026-11-20") from None


def from_day(number: str) -> str:
    """Return the day of that number."""
    return (_EPOCH + timedelta(days=int(number))).isoformat()


def to_amounts(kept: bytes, first: int = 0) -> Amounts:
    """Return four quantities of those that are kept together."""
    numbers = map(int, kept.decode().split(PART)[first : first + len(QUANTITIES)])
    return Amounts(**dict(zip(QUANTITIES, numbers, strict=True)))


def to_record(key: str, kept: Sequence[bytes]) -> AccountBudget:
    """Return a budget with what is spent of it; one whose day is over has spent nothing."""
    record, zone, day, sums = kept
    return AccountBudget(
        account=from_key(key),
        budget=Budget.FromString(record[2 * _STAMP :]),
        time_zone=zone.decode(),
        spent=to_amounts(sums),
        reserved=to_amounts(sums, len(QUANTITIES)),
        day=day.decode(),
        create_time=to_time(int(record[:_STAMP])),
        update_time=to_time(int(record[_STAMP : 2 * _STAMP])),
    )
