"""What the store promises about budgets: nothing is overspent, and nothing stays reserved."""

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness.engines import ask
from harness.noon import noon_zone
from harness.runs import seconds
from harness.suite import until

from pentad.state.v1.budget_pb2 import Account, AccountBudget, Amounts, Budget
from pentad.state.v1.budget_service_pb2 import (
    ListUsageRequest,
    Price,
    ReserveBudgetRequest,
    ReserveBudgetResponse,
    SettleBudgetRequest,
    Spent,
)
from pentad.state.v1.message_pb2 import Usage
from pentad_chassis.errors import InvalidArgument
from pentad_state.budgets import budget_keys
from pentad_state.core import StateCore
from pentad_state.errors import BudgetNotFound, InvalidPageToken

GRANTED = ReserveBudgetResponse.VERDICT_GRANTED
BUSY = ReserveBudgetResponse.VERDICT_BUSY
EXHAUSTED = ReserveBudgetResponse.VERDICT_EXHAUSTED
UNPRICED = ReserveBudgetResponse.VERDICT_UNPRICED

TENANT = Account(scope=Account.SCOPE_TENANT)
AGENT = Account(scope=Account.SCOPE_AGENT, name="clerk")
SESSION = Account(scope=Account.SCOPE_SESSION, name="s")
LONG = seconds(600)


def run_account(name: str = "r", **limit: Any) -> Account:
    return Account(scope=Account.SCOPE_RUN, name=name, limit=Budget(**limit))


def wish(name: str, *accounts: Account, **changes: Any) -> ReserveBudgetRequest:
    """A call that reads 100 tokens at most and writes 10 to 50."""
    fields: dict[str, Any] = {
        "input_tokens": 100, "output_tokens_least": 10, "output_tokens_most": 50, "turns": 1,
        "expiry": LONG, **changes,
    }  # fmt: skip
    return ReserveBudgetRequest(
        tenant="t", reservation_id=name, agent="clerk", model="openai:m",
        accounts=accounts or [TENANT, AGENT, SESSION], **fields,
    )  # fmt: skip


def outcome(name: str, **kind: Any) -> SettleBudgetRequest:
    return SettleBudgetRequest(
        tenant="t", reservation_id=name, agent="clerk", model="openai:m", **kind
    )


def spent(name: str, read: int, written: int, cost: int | None = None) -> SettleBudgetRequest:
    usage = Usage(input_tokens=read, output_tokens=written, cost_nano_usd=cost)
    return outcome(name, spent=Spent(usage=usage))


async def put(core: StateCore, account: Account = TENANT, zone: str = "", **limit: Any) -> None:
    zone = zone or noon_zone()
    budget = AccountBudget(account=account, budget=Budget(**limit), time_zone=zone)
    await core.budgets.put("t", budget)


def have_day(engine: str, day: str, over: int) -> None:
    """Have it be another day of the tenant's budget, which is over at a time in milliseconds."""
    limits = budget_keys("t")[0]
    kept = ask(engine, "HGET", limits, "0")
    assert isinstance(kept, bytes)
    parts = kept.decode().split("\x1f")
    parts[4:6] = [day, str(over)]
    ask(engine, "HSET", limits, "0", "\x1f".join(parts))


async def sums(core: StateCore, account: Account = TENANT) -> tuple[Amounts, Amounts]:
    budget = await core.budgets.get("t", account)
    return budget.spent, budget.reserved


async def test_without_a_budget_nothing_is_reserved_and_nobody_need_ask_again_for_a_while(
    core: StateCore,
) -> None:
    answer = await core.budgets.reserve(wish("a"))

    assert answer.verdict == GRANTED
    assert answer.unbounded
    assert answer.unbounded_for.ToMilliseconds() > 0
    assert answer.output_tokens == 0
    assert (await core.budgets.list_reservations("t", 0, ""))[0] == []


async def test_setting_a_budget_waits_for_those_who_count_on_there_being_none(
    core: StateCore, engine: str
) -> None:
    await core.budgets.reserve(wish("a"))
    free = budget_keys("t")[7]
    assert ask(engine, "EXISTS", free) == 1

    await put(core, tokens=1000)

    assert ask(engine, "EXISTS", free) == 0
    assert not (await core.budgets.reserve(wish("b"))).unbounded
    other = wish("c", Account(scope=Account.SCOPE_AGENT, name="other"))
    answer = await core.budgets.reserve(other)
    assert answer.unbounded
    assert not answer.HasField("unbounded_for")


async def test_a_call_gets_what_is_left_to_write_and_settles_to_what_it_spent(
    core: StateCore,
) -> None:
    await put(core, tokens=300)

    first = await core.budgets.reserve(wish("a"))
    second = await core.budgets.reserve(wish("b"))
    assert (first.output_tokens, second.output_tokens) == (50, 50)
    busy = await core.budgets.reserve(wish("c"))
    assert busy.verdict == BUSY
    assert busy.exhausted.quantity == "tokens"
    assert (await sums(core))[1] == Amounts(tokens=300, turns=2)

    await core.budgets.settle(spent("a", 90, 20))
    await core.budgets.settle(spent("a", 90, 20))
    third = await core.budgets.reserve(wish("c", output_tokens_least=5, input_tokens=30))
    assert third.output_tokens == 10
    await core.budgets.settle(spent("b", 60, 50))
    await core.budgets.settle(outcome("c", unused=True))

    assert await sums(core) == (Amounts(tokens=220, turns=2), Amounts())
    over = await core.budgets.reserve(wish("d"))
    assert over.verdict == EXHAUSTED
    said = over.exhausted
    assert (said.account, said.quantity) == (TENANT, "tokens")
    assert (said.limit, said.spent, said.needed) == (300, 220, 110)


async def test_one_account_without_room_leaves_the_others_as_they_were(core: StateCore) -> None:
    await put(core, tokens=10_000)
    await put(core, AGENT, turns=1)
    await put(core, SESSION, tokens=10_000)
    tree = [TENANT, AGENT, SESSION, run_account("r", tokens=1000), run_account("top", turns=5)]
    assert (await core.budgets.reserve(wish("a", *tree))).verdict == GRANTED

    refused = await core.budgets.reserve(wish("b", *tree))

    assert (refused.verdict, refused.exhausted.account) == (BUSY, AGENT)
    for account in (TENANT, SESSION):
        assert (await sums(core, account))[1] == Amounts(tokens=150, turns=1)
    await core.budgets.settle(spent("a", 100, 50))
    refused = await core.budgets.reserve(wish("b", *tree))
    assert (refused.verdict, refused.exhausted.quantity) == (EXHAUSTED, "turns")
    left = await core.budgets.reserve(wish("c", run_account("r", tokens=1000), input_tokens=840))
    assert left.output_tokens == 10


async def test_a_repeated_reservation_changes_nothing(core: StateCore) -> None:
    await put(core, tokens=1000)

    first = await core.budgets.reserve(wish("a"))
    again = await core.budgets.reserve(wish("a"))
    await core.budgets.settle(spent("a", 1, 1))
    late = await core.budgets.reserve(wish("a"))

    assert first == again == late
    assert await sums(core) == (Amounts(tokens=2, turns=1), Amounts())


async def test_what_expires_is_charged_in_full_and_corrected_by_who_comes_late(
    core: StateCore,
) -> None:
    await put(core, tokens=1000, cost_nano_usd=10_000)
    price = Price(input_nano_usd=1000, output_nano_usd_per_token=10)
    await core.budgets.reserve(wish("a", price=price, expiry=seconds(0.05)))
    await core.budgets.reserve(wish("b", price=price, expiry=seconds(0.05)))

    async def all_is_charged() -> bool:
        return (await sums(core))[1] == Amounts()

    await until(all_is_charged)
    assert (await sums(core))[0] == Amounts(tokens=300, turns=2, cost_nano_usd=3000)
    [row], _ = await core.usage.list_usage(ListUsageRequest(tenant="t"))
    assert (row.turns, row.unsettled_turns) == (0, 2)
    assert row.unsettled == Amounts(tokens=300, turns=2, cost_nano_usd=3000)
    found, _ = await core.budgets.list_reservations("t", 0, "")
    assert [(r.reservation_id, r.unsettled) for r in found] == [("a", True), ("b", True)]

    await core.budgets.settle(spent("a", 70, 7, cost=700))
    await core.budgets.settle(outcome("b", unknown=True))

    assert (await sums(core))[0] == Amounts(tokens=227, turns=2, cost_nano_usd=2200)
    [row], _ = await core.usage.list_usage(ListUsageRequest(tenant="t"))
    assert (row.turns, row.unsettled_turns) == (1, 1)
    assert (row.usage.input_tokens, row.usage.output_tokens) == (70, 7)
    assert row.unsettled.tokens == 150


async def test_a_call_of_unknown_outcome_is_charged_as_reserved(core: StateCore) -> None:
    await put(core, tokens=1000)
    await core.budgets.reserve(wish("a"))

    await core.budgets.settle(outcome("a", unknown=True))
    await core.budgets.settle(outcome("a", unknown=True))

    assert await sums(core) == (Amounts(tokens=150, turns=1), Amounts())
    await core.budgets.settle(outcome("a", unused=True))
    assert await sums(core) == (Amounts(), Amounts())


async def test_a_cost_is_bounded_only_where_it_is_known(core: StateCore) -> None:
    await put(core, cost_nano_usd=1_000)

    unknown = await core.budgets.reserve(wish("a"))
    price = Price(input_nano_usd=500, output_nano_usd_per_token=20)
    known = await core.budgets.reserve(wish("b", price=price))
    assert unknown.verdict == UNPRICED
    assert known.output_tokens == 25

    # The answer came from a model whose price nobody knows: it costs what was set aside.
    await core.budgets.settle(spent("b", 1, 1))
    assert (await sums(core))[0].cost_nano_usd == 1000
    [row], _ = await core.usage.list_usage(ListUsageRequest(tenant="t"))
    assert row.unpriced_turns == 1


async def test_calls_of_tools_are_spent_at_once_and_once(core: StateCore) -> None:
    await put(core, tool_calls=2, tokens=1)

    def call(name: str) -> ReserveBudgetRequest:
        return ReserveBudgetRequest(
            tenant="t", reservation_id=name, agent="clerk", model="m", accounts=[TENANT],
            tool_calls=1,
        )  # fmt: skip

    verdicts = [(await core.budgets.reserve(call(name))).verdict for name in "aabc"]

    assert verdicts == [GRANTED, GRANTED, GRANTED, EXHAUSTED]
    assert await sums(core) == (Amounts(tool_calls=2), Amounts())


async def test_a_day_begins_anew_by_the_stores_clock(core: StateCore, engine: str) -> None:
    await put(core, tokens=150)
    assert (await core.budgets.reserve(wish("a"))).verdict == GRANTED
    held = await core.budgets.get("t", TENANT)
    assert held.day == datetime.now(ZoneInfo(noon_zone())).date().isoformat()
    assert (await core.budgets.reserve(wish("b"))).verdict == BUSY

    have_day(engine, "2000-01-01", over=1)

    idle = await core.budgets.get("t", TENANT)
    assert (idle.spent, idle.reserved, idle.day) == (Amounts(), Amounts(), "")
    assert (await core.budgets.reserve(wish("b"))).verdict == BUSY  # it is the same day, after all
    assert (await core.budgets.get("t", TENANT)).day == held.day


async def test_what_was_reserved_yesterday_is_settled_in_yesterdays_account(
    core: StateCore, engine: str
) -> None:
    await put(core, tokens=150)
    have_day(engine, "2000-01-01", over=9999999999999)
    assert (await core.budgets.reserve(wish("a"))).verdict == GRANTED
    have_day(engine, "2000-01-01", over=1)

    assert (await core.budgets.reserve(wish("b"))).verdict == GRANTED
    await core.budgets.settle(spent("a", 100, 50))

    assert await sums(core) == (Amounts(), Amounts(tokens=150, turns=1))


async def test_a_budget_set_anew_keeps_what_is_spent(core: StateCore) -> None:
    await put(core, SESSION, tokens=1000)
    await core.budgets.reserve(wish("a"))
    await core.budgets.settle(spent("a", 100, 50))
    first = await core.budgets.get("t", SESSION)

    await put(core, SESSION, turns=5)
    second = await core.budgets.get("t", SESSION)

    assert second.spent == Amounts(tokens=150, turns=1)
    assert second.budget == Budget(turns=5)
    assert second.create_time == first.create_time
    await core.budgets.delete("t", SESSION)
    with pytest.raises(BudgetNotFound):
        await core.budgets.get("t", SESSION)
    assert (await core.budgets.reserve(wish("b"))).unbounded


async def test_budgets_are_listed_in_pages(core: StateCore) -> None:
    accounts = [Account(scope=Account.SCOPE_SESSION, name=f"s{i}") for i in range(7)]
    for account in [*accounts, AGENT, TENANT]:
        await put(core, account, tokens=1)

    found: list[Account] = []
    token = ""
    for _ in range(5):
        page, token = await core.budgets.list_budgets("t", 2, token)
        found += [budget.account for budget in page]

    assert token == ""
    assert found == [TENANT, AGENT, *accounts]
    with pytest.raises(InvalidPageToken):
        await core.budgets.list_budgets(
            "other", 2, (await core.budgets.list_budgets("t", 2, ""))[1]
        )


async def test_usage_is_by_day_agent_and_model(core: StateCore) -> None:
    for i, (agent, model) in enumerate([("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")]):
        settled = spent(str(i), 10, 1, cost=5)
        settled.agent, settled.model = agent, model
        settled.spent.tool_calls = 2
        await core.budgets.settle(settled)

    rows, token = await core.usage.list_usage(ListUsageRequest(tenant="t", page_size=2))
    rest, end = await core.usage.list_usage(
        ListUsageRequest(tenant="t", page_size=2, page_token=token)
    )

    got = [(r.agent, r.model, r.turns, r.tool_calls, r.usage.input_tokens) for r in [*rows, *rest]]
    assert got == [("a", "x", 2, 4, 20), ("a", "y", 1, 2, 10), ("b", "x", 1, 2, 10)]
    assert end == ""
    today = rows[0].day
    for request, count in (
        (ListUsageRequest(tenant="t", agent="a"), 2),
        (ListUsageRequest(tenant="t", model="x"), 2),
        (ListUsageRequest(tenant="t", from_day=today, to_day=today), 3),
        (ListUsageRequest(tenant="t", to_day="2000-01-01"), 0),
        (ListUsageRequest(tenant="other"), 0),
    ):
        assert len((await core.usage.list_usage(request))[0]) == count


async def test_of_a_hundred_at_once_as_many_are_granted_as_fit(core: StateCore) -> None:
    await put(core, tokens=40 * 150)

    verdicts = [
        answer.verdict
        for answer in await asyncio.gather(
            *(core.budgets.reserve(wish(str(i))) for i in range(100))
        )
    ]

    assert (verdicts.count(GRANTED), verdicts.count(BUSY)) == (40, 60)


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        (AccountBudget(account=TENANT), "budget.budget"),
        (AccountBudget(account=TENANT, budget=Budget(tokens=0)), "budget.budget.tokens"),
        (AccountBudget(account=TENANT, budget=Budget(turns=-1)), "budget.budget.turns"),
        (
            AccountBudget(account=TENANT, budget=Budget(wall_time=LONG, turns=1)),
            "budget.budget.wall_time",
        ),
        (AccountBudget(account=run_account(), budget=Budget(turns=1)), "account.scope"),
        (AccountBudget(budget=Budget(turns=1)), "account.scope"),
        (
            AccountBudget(account=TENANT, budget=Budget(turns=1), time_zone="Mars/Olympus"),
            "budget.time_zone",
        ),
        (
            AccountBudget(account=TENANT, budget=Budget(turns=1), time_zone="../etc/passwd"),
            "budget.time_zone",
        ),
    ],
)
async def test_what_is_no_budget_is_refused(
    core: StateCore, budget: AccountBudget, field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await core.budgets.put("t", budget)

    assert caught.value.metadata["field"] == field
