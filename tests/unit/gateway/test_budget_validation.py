"""Budgets and usage that are asked for wrongly are refused with the field at fault."""

from typing import Any

import pytest

from pentad.gateway.v1.budget_service_pb2 import PutBudgetRequest
from pentad.gateway.v1.run_service_pb2 import CreateRunRequest
from pentad.gateway.v1.usage_service_pb2 import ListUsageRequest
from pentad.state.v1.budget_pb2 import Account, Budget
from pentad_gateway import validation

TENANT = Account(scope=Account.SCOPE_TENANT)
AGENT = Account(scope=Account.SCOPE_AGENT, name="clerk")
SESSION = Account(scope=Account.SCOPE_SESSION, name="s")
GOOD = Budget(tokens=1)
DAY = ListUsageRequest.GROUP_DAY


@pytest.mark.parametrize(
    ("account", "budget", "zone", "field"),
    [
        (TENANT, GOOD, "", None),
        (AGENT, Budget(cost_nano_usd=1), "Europe/Berlin", None),
        (SESSION, Budget(turns=1, tool_calls=1), "", None),
        (TENANT, Budget(), "", "budget"),
        (TENANT, None, "", "budget"),
        (TENANT, Budget(tokens=0), "", "budget.tokens"),
        (TENANT, Budget(turns=-1), "", "budget.turns"),
        (TENANT, Budget(cost_nano_usd=10**15 + 1), "", "budget.cost_nano_usd"),
        (Account(), GOOD, "", "account.scope"),
        (Account(scope=Account.SCOPE_RUN, name="r"), GOOD, "", "account.scope"),
        (Account(scope=Account.SCOPE_TENANT, name="x"), GOOD, "", "account.name"),
        (Account(scope=Account.SCOPE_AGENT), GOOD, "", "account.name"),
        (Account(scope=Account.SCOPE_TENANT, limit=GOOD), GOOD, "", "account.limit"),
        (TENANT, GOOD, "Mars/Olympus", "time_zone"),
        (TENANT, GOOD, "../../etc/passwd", "time_zone"),
        (SESSION, GOOD, "UTC", "time_zone"),
    ],
)
def test_a_budget(account: Account, budget: Budget | None, zone: str, field: str | None) -> None:
    request = PutBudgetRequest(account=account, budget=budget, time_zone=zone)

    assert [v.field for v in validation.put_budget(request)] == ([field] if field else [])


def test_only_a_run_has_a_wall_time() -> None:
    budget = Budget()
    budget.wall_time.FromSeconds(60)
    request = PutBudgetRequest(account=TENANT, budget=budget)
    run = CreateRunRequest()
    run.spec.agent, run.spec.input = "clerk", "go"
    run.spec.budget.CopyFrom(budget)

    assert [v.field for v in validation.put_budget(request)] == ["budget.wall_time"]
    assert validation.create_run(run, 0.0) == []
    run.spec.budget.wall_time.FromSeconds(0)
    assert [v.field for v in validation.create_run(run, 0.0)] == ["spec.budget.wall_time"]
    run.spec.budget.Clear()
    run.spec.budget.tokens = 0
    assert [v.field for v in validation.create_run(run, 0.0)] == ["spec.budget.tokens"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, None),
        ({"from_day": "2026-11-01", "to_day": "2026-11-20", "group_by": [DAY]}, None),
        ({"from_day": "20261101"}, "from_day"),
        ({"to_day": "2026-02-30"}, "to_day"),
        ({"from_day": "2026-11-20", "to_day": "2026-11-01"}, "to_day"),
        ({"agent": "No Agent"}, "agent"),
        ({"model": "x" * 300}, "model"),
        ({"group_by": [DAY, DAY]}, "group_by"),
        ({"group_by": [0]}, "group_by[0]"),
    ],
)
def test_usage(fields: dict[str, Any], field: str | None) -> None:
    found = [v.field for v in validation.list_usage(ListUsageRequest(**fields))]

    assert found == ([field] if field else [])
