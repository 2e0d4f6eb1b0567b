"""Budgets end to end: what models are asked for never exceeds them, whoever dies meanwhile."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest
from harness.builders import ask
from harness.noon import noon_zone
from harness.openai_server import OpenAIServer, Turn, open_openai_server
from harness.suite import Kit, Suite, example_agents, until
from harness.wired import SERVICES

from pentad.gateway.v1.budget_service_pb2 import (
    GetBudgetRequest,
    ListReservationsRequest,
    PutBudgetRequest,
)
from pentad.gateway.v1.usage_service_pb2 import ListUsageRequest
from pentad.state.v1.agent_pb2 import Agent, Limits
from pentad.state.v1.budget_pb2 import Account, AccountBudget, Budget, Reservation, UsageRow
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus
from pentad_chassis.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

pytestmark = pytest.mark.system

TENANT = Account(scope=Account.SCOPE_TENANT)
CLERK = Agent(name="clerk", model="openai:gpt-4o-mini", limits=Limits(max_output_tokens=20))
READ, WRITTEN = 80, 20
"""Tokens of every answer; no request has fewer bytes than it has tokens."""
DONE = Turn(text="done", prompt_tokens=READ, completion_tokens=WRITTEN)

AWAY = (Unavailable, DeadlineExceeded, ResourceExhausted)
T = TypeVar("T")


@asynccontextmanager
async def answering(pause_s: float = 0.0) -> AsyncIterator[OpenAIServer]:
    async with open_openai_server([replace(DONE, pause_s=pause_s)], repeat=True) as server:
        yield server


def served_by(new_suite: Callable[..., Suite], server: OpenAIServer, **settings: str) -> Suite:
    return new_suite(OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=server.api_key, **settings)


async def bound(kit: Kit, tokens: int) -> None:
    """Bound the tenant's day, which does not end while a test runs."""
    request = PutBudgetRequest(account=TENANT, budget=Budget(tokens=tokens), time_zone=noon_zone())
    await kit.client.budgets.PutBudget(request)


async def budget(kit: Kit, account: Account = TENANT) -> AccountBudget:
    return (await kit.client.budgets.GetBudget(GetBudgetRequest(account=account))).budget


async def unsettled(kit: Kit) -> list[Reservation]:
    found: list[Reservation] = []
    request = ListReservationsRequest(page_size=500)
    while True:
        page = await kit.client.budgets.ListReservations(request)
        found += page.reservations
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def usage(kit: Kit) -> UsageRow:
    request = ListUsageRequest(group_by=[ListUsageRequest.GROUP_MODEL])
    rows = (await kit.client.usage.ListUsage(request)).rows
    return rows[0] if rows else UsageRow()


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call says once who has to answer is there."""
    for _ in range(300):
        try:
            return await call()
        except AWAY:
            await asyncio.sleep(0.1)
    pytest.fail("nobody answers")


async def ended(kit: Kit, name: str, spec: RunSpec) -> Run:
    run = await insist(partial(kit.create, spec, request_id=name))
    return await insist(partial(kit.wait, run.run_id))


async def check_books(kit: Kit, server: OpenAIServer, limit: int) -> None:
    """Whatever happened: what is settled is what the server counted, call by call."""

    async def nothing_is_under_way() -> bool:
        return all(each.unsettled for each in await unsettled(kit))

    await until(nothing_is_under_way, 60.0, "every reservation is settled or charged")
    lost = {each.reservation_id: each.amounts.tokens for each in await unsettled(kit)}
    books, account = await usage(kit), await budget(kit)
    settled = [tokens for name, tokens in server.counted.items() if name not in lost]

    assert books.turns == len(settled)
    assert books.usage.input_tokens + books.usage.output_tokens == sum(settled)
    assert books.unsettled_turns == len(lost)
    assert books.unsettled.tokens == sum(lost.values())
    assert all(
        server.counted[name] <= tokens for name, tokens in lost.items() if name in server.counted
    )
    assert account.spent.tokens == sum(settled) + sum(lost.values())
    assert account.reserved.tokens == 0
    assert sum(server.counted.values()) <= account.spent.tokens <= limit


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_of_a_hundred_runs_at_once_those_complete_that_a_days_budget_has_room_for(
    new_suite: Callable[..., Suite],
) -> None:
    limit = 40 * (READ + WRITTEN)
    async with answering() as server, served_by(new_suite, server).open() as kit:
        await kit.apply(CLERK)
        await bound(kit, tokens=limit)

        runs = await asyncio.gather(*(ended(kit, f"r{i}", ask("clerk")) for i in range(100)))

        completed = [r for r in runs if r.status.state == RunStatus.STATE_COMPLETED]
        failed = [r.status.failure for r in runs if r.status.state == RunStatus.STATE_FAILED]
        await check_books(kit, server, limit)

    assert len(completed) == len(server.counted)
    # A request has some 250 bytes, of which 80 are tokens: the last ones find too little left.
    assert 36 <= len(completed) <= 40
    assert len(completed) + len(failed) == 100
    assert {failure.reason for failure in failed} == {"BUDGET_EXHAUSTED"}
    assert failed[0].metadata["account"] == "the tenant"
    assert failed[0].metadata["quantity"] == "tokens"
    assert failed[0].metadata["limit"] == str(limit)


@pytest.mark.parametrize("new_suite", ["five"], indirect=True)
async def test_a_call_whose_executor_dies_is_charged_and_nothing_stays_reserved(
    new_suite: Callable[..., Suite],
) -> None:
    limit = 100_000
    held = [replace(DONE, hold=True)] * 3
    async with open_openai_server([*held, *[DONE] * 100]) as server:
        suite = served_by(new_suite, server)
        async with suite.open() as kit:
            await kit.apply(CLERK)
            await bound(kit, tokens=limit)
            spec = ask("clerk")
            spec.limits.turn_timeout.FromSeconds(1)
            runs = [asyncio.create_task(ended(kit, f"r{i}", spec)) for i in range(3)]

            async def are_asked() -> bool:
                return len(server.counted) >= len(held)

            await until(are_asked, what="the models are called")
            unanswered = set(list(server.counted)[: len(held)])
            [executor] = suite.children("pentad_executor ")
            suite.kill9_child(executor)
            await asyncio.gather(*runs)

            await check_books(kit, server, limit)
            assert unanswered <= {each.reservation_id for each in await unsettled(kit)}


@pytest.mark.long
@pytest.mark.parametrize("new_suite", ["five"], indirect=True)
@pytest.mark.parametrize("seed", range(3))
async def test_the_books_are_right_whichever_services_are_killed(
    new_suite: Callable[..., Suite], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - it secures nothing
    limit = 60 * (READ + WRITTEN)
    async with answering(pause_s=0.2) as server:
        suite = served_by(new_suite, server, PENTAD_ORCHESTRATOR_LEASE_S="1.5")
        async with suite.open() as kit:
            await kit.apply(CLERK)
            await bound(kit, tokens=limit)
            spec = ask("clerk")
            spec.limits.turn_timeout.FromSeconds(5)
            runs = [asyncio.create_task(ended(kit, f"r{i}", spec)) for i in range(100)]
            for victim in chance.sample(2 * SERVICES, 2 * len(SERVICES)):
                await asyncio.sleep(chance.uniform(0.1, 1.5))
                for pid in suite.children(f"pentad_{victim} "):
                    suite.signal_child(pid, signal.SIGKILL)
            found = await asyncio.gather(*runs)

            await insist(partial(check_books, kit, server, limit))

    reasons = {r.status.failure.reason for r in found if r.status.state == RunStatus.STATE_FAILED}
    assert reasons <= {"BUDGET_EXHAUSTED", "MODEL_UNAVAILABLE", "TURN_TIMEOUT"}


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_a_run_ends_with_its_partial_result_when_its_budget_does(
    new_suite: Callable[..., Suite],
) -> None:
    script = [
        Turn(
            text="I look first.",
            calls=[{"name": "calculator", "arguments": {"expression": "6*7"}}],
            prompt_tokens=100,
            completion_tokens=10,
        )
    ]
    clerk = Agent(name="clerk", model="openai:gpt-4o-mini", tools=["calculator"])
    async with (
        open_openai_server(script, repeat=True) as server,
        served_by(new_suite, server).open() as kit,
    ):
        await kit.apply(clerk, *(a for a in example_agents() if a.name == "thrifty"))

        example = await ended(kit, "example", ask("thrifty"))
        spec = ask("clerk")
        spec.budget.turns = 1
        by_turns = await ended(kit, "turns", spec)
        spec.budget.Clear()
        spec.budget.tool_calls = 1
        by_calls = await ended(kit, "calls", spec)
        spec.budget.Clear()
        spec.budget.tokens = 0
        with pytest.raises(InvalidArgument) as caught:
            await kit.create(spec)

    assert example.status.failure.reason == "BUDGET_EXHAUSTED"
    assert example.status.failure.metadata["quantity"] == "tool_calls"
    assert by_turns.status.failure.reason == "BUDGET_EXHAUSTED"
    assert by_turns.status.failure.metadata["quantity"] == "turns"
    assert by_turns.status.failure.metadata["account"] == f"run {by_turns.run_id}"
    assert by_turns.status.output == "I look first."
    [spending] = by_turns.status.spending
    assert (spending.agent, spending.model) == ("clerk", "openai:gpt-4o-mini")
    assert (spending.turns, spending.tool_calls, spending.usage.input_tokens) == (1, 1, 100)
    assert by_calls.status.failure.reason == "BUDGET_EXHAUSTED"
    assert by_calls.status.failure.metadata["quantity"] == "tool_calls"
    assert by_calls.status.turns == 2
    assert caught.value.metadata["field"] == "spec.budget.tokens"


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_usage_is_listed_without_any_budget_and_on_the_command_line(
    new_suite: Callable[..., Suite],
) -> None:
    async with answering() as server:
        suite = served_by(new_suite, server)
        async with suite.open() as kit:
            await kit.apply(CLERK)
            await asyncio.gather(*(ended(kit, f"r{i}", ask("clerk")) for i in range(3)))

            async def is_listed() -> bool:
                return (await usage(kit)).turns == 3

            await until(is_listed, what="the turns are in the usage")
            shown = suite.pentad("usage", "--by", "agent", "--output", "json")
            put = suite.pentad(
                "budget", "set", "--agent", "clerk", "--tokens", "1000", "--usd", "1"
            )
            listed = suite.pentad("budget", "list")

    assert '"turns": "3"' in shown.stdout
    assert f'"input_tokens": "{3 * READ}"' in shown.stdout
    assert put.stdout == "agent clerk: 0/1000 tokens, $0.00/$1.00\n"
    assert listed.stdout.startswith("agent clerk\tUTC\t0/1000 tokens")
