"""Requests about budgets and usage."""

import re
from datetime import date
from zoneinfo import ZoneInfo

from pentad.gateway.v1.budget_service_pb2 import (
    DeleteBudgetRequest,
    GetBudgetRequest,
    ListBudgetsRequest,
    ListReservationsRequest,
    PutBudgetRequest,
)
from pentad.gateway.v1.usage_service_pb2 import ListUsageRequest
from pentad.state.v1.budget_pb2 import Account, Budget
from pentad_chassis.errors import FieldViolation
from pentad_gateway.validation.bounds import AGENT_NAME, SESSION_ID, Bounds

AMOUNT = 10**15
MODEL_BYTES = 256
_DAYS_S = 30 * 86_400
_QUANTITIES = ("tokens", "cost_nano_usd", "turns", "tool_calls")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,31}){0,2}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def put_budget(request: PutBudgetRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    _account(bounds, request.account)
    if request.HasField("budget"):
        check_budget(bounds, "budget", request.budget)
    else:
        bounds.broken("budget", "must be set")
    if request.budget.HasField("wall_time"):
        bounds.broken("budget.wall_time", "must be unset: only a run's budget may have it")
    if request.time_zone and not _is_zone(request.time_zone):
        bounds.broken("time_zone", "must be the name of a time zone, such as `Europe/Berlin`")
    elif request.time_zone and request.account.scope == Account.SCOPE_SESSION:
        bounds.broken("time_zone", "must be empty: the budget of a session has no days")
    return bounds.violations


def name_budget(request: GetBudgetRequest | DeleteBudgetRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    _account(bounds, request.account)
    return bounds.violations


def list_budgets(request: ListBudgetsRequest | ListReservationsRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.page(request)
    return bounds.violations


def list_usage(request: ListUsageRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    for name, day in (("from_day", request.from_day), ("to_day", request.to_day)):
        if day and not _is_day(day):
            bounds.broken(name, "must be a day such as 2026-11-20")
    if request.from_day and request.to_day and request.from_day > request.to_day:
        bounds.broken("to_day", "must not come before `from_day`")
    if request.agent:
        bounds.name("agent", request.agent, AGENT_NAME)
    bounds.text("model", request.model, MODEL_BYTES)
    groups = set(ListUsageRequest.Group.values()) - {ListUsageRequest.GROUP_UNSPECIFIED}
    for i, group in enumerate(request.group_by):
        if group not in groups:
            bounds.broken(f"group_by[{i}]", "must be a known group")
            break
    if len(set(request.group_by)) < len(request.group_by):
        bounds.broken("group_by", "must hold each group once")
    return bounds.violations


def check_budget(bounds: Bounds, at: str, budget: Budget) -> None:
    """Check what a run, or anything else, may spend: nothing may be bounded by 0."""
    if not budget.ByteSize():
        bounds.broken(at, f"must bound at least one of {', '.join(_QUANTITIES)}")
    for name in _QUANTITIES:
        if budget.HasField(name):  # type: ignore[arg-type] # all of them are its fields
            bounds.within(f"{at}.{name}", int(getattr(budget, name)), AMOUNT, 1)
    if budget.HasField("wall_time"):
        bounds.duration(f"{at}.wall_time", budget.wall_time, _DAYS_S, least_s=1)


def _account(bounds: Bounds, account: Account) -> None:
    match account.scope:
        case Account.SCOPE_TENANT:
            if account.name:
                bounds.broken("account.name", "must be empty: there is one tenant, the key's")
        case Account.SCOPE_AGENT:
            bounds.name("account.name", account.name, AGENT_NAME)
        case Account.SCOPE_SESSION:
            bounds.name("account.name", account.name, SESSION_ID)
        case Account.SCOPE_RUN:
            bounds.broken("account.scope", "must not be a run: its budget stands in its spec")
        case _:
            bounds.broken("account.scope", "must be the tenant, an agent or a session")
    if account.HasField("limit"):
        bounds.broken("account.limit", "must be unset; `budget` holds the limit")


def _is_zone(name: str) -> bool:
    if not _ZONE.fullmatch(name):
        return False
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and date.fromisoformat(text).year > 0
    except ValueError:
        return False
