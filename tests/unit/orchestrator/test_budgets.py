"""Budgets in the plan: what a run counts against, how it ends, what it says it spent where."""

from harness.fake_budgets import FakeBudgets, granted, refused
from harness.fakes import direct
from unit.orchestrator.naps import patience
from unit.orchestrator.story import Story, asks, returns, says, simple

from pentad.state.v1.budget_pb2 import Account, Budget, BudgetExhausted, Spending
from pentad.state.v1.budget_service_pb2 import ReserveBudgetResponse
from pentad.state.v1.event_pb2 import RunCreated
from pentad.state.v1.message_pb2 import Message, Usage
from pentad.state.v1.run_pb2 import RunStatus
from pentad_chassis.clock import FakeClock
from pentad_orchestrator import plan
from pentad_orchestrator.accounts import accounts_for, accounts_of
from pentad_orchestrator.allowances import Allowances
from pentad_orchestrator.bounds import budget_of
from pentad_orchestrator.spending import added, listed, merged

RUN = "07-run"
BY = BudgetExhausted(
    account=Account(scope=Account.SCOPE_AGENT, name="clerk"),
    quantity="tokens",
    limit=100,
    spent=90,
    needed=20,
)


def created(session_id: str = "", **budget: int) -> RunCreated:
    told = simple(session_id=session_id)
    for name, value in budget.items():
        setattr(told.spec.budget, name, value)
    return told


def names(accounts: list[Account]) -> list[tuple[int, str]]:
    return [(account.scope, account.name) for account in accounts]


def test_of_a_run_and_its_agents_the_smaller_budget_holds() -> None:
    told = created(tokens=100, turns=9)
    told.agents[0].budget.CopyFrom(Budget(tokens=200, turns=3, tool_calls=5))
    told.agents[0].budget.wall_time.FromSeconds(60)
    other = told.agents.add(name="only-named")
    other.budget.tokens = 1

    least = budget_of(told)

    assert (least.tokens, least.turns, least.tool_calls) == (100, 3, 5)
    assert least.wall_time.seconds == 60
    assert not least.HasField("cost_nano_usd")


def test_a_run_counts_against_itself_and_all_that_led_to_it() -> None:
    top = created("talk", tokens=100)
    middle = created(turns=2)
    middle.accounts.extend(accounts_of("top", top))
    below = created()
    below.accounts.extend(accounts_of("middle", middle))

    accounts = accounts_for(Story(below).start().run)

    assert names(accounts) == [
        (Account.SCOPE_TENANT, ""),
        (Account.SCOPE_AGENT, "clerk"),
        (Account.SCOPE_RUN, "middle"),
        (Account.SCOPE_SESSION, "talk"),
        (Account.SCOPE_RUN, "top"),
    ]
    assert [a.limit for a in accounts if a.HasField("limit")] == [
        Budget(turns=2),
        Budget(tokens=100),
    ]


async def test_a_graph_has_no_agent_to_count_against() -> None:
    told = created(tool_calls=3)
    del told.steps[:]
    told.spec.graph.SetInParent()
    state = FakeBudgets(granted())
    run = Story(told).run

    assert await Allowances(direct(state), patience(), FakeClock()).refusal(run, "a/b") is None

    [wish] = state.reserved
    assert names(list(wish.accounts)) == [(Account.SCOPE_TENANT, ""), (Account.SCOPE_RUN, RUN)]
    assert wish.agent
    assert wish.model


def test_the_wall_time_of_a_budget_ends_the_run_as_a_budget_does() -> None:
    told = created()
    told.spec.budget.wall_time.FromSeconds(30)
    told.spec.limits.wall_time.FromSeconds(60)

    story = Story(told).start().record(plan.deadline_reached())

    failure = plan.status(story.run).failure
    assert failure.reason == "BUDGET_EXHAUSTED"
    assert failure.metadata["quantity"] == "wall_time_s"
    assert failure.metadata["limit"] == "30"
    told.spec.limits.wall_time.FromSeconds(20)
    story = Story(told).start().record(plan.deadline_reached())
    assert plan.status(story.run).failure.reason == "WALL_TIME_REACHED"


def test_a_message_that_ends_where_a_budget_does_ends_the_run_with_it() -> None:
    story = Story(created()).start()
    event = says(story.run, "So far I foun", Usage(input_tokens=5, output_tokens=20))
    event.turn_completed.message.role = Message.ROLE_ASSISTANT
    event.turn_completed.exhausted.CopyFrom(BY)

    story.record(event)

    status = plan.status(story.run)
    assert status.state == RunStatus.STATE_FAILED
    assert status.failure.reason == "BUDGET_EXHAUSTED"
    assert dict(status.failure.metadata) == {
        "account": "agent clerk", "quantity": "tokens", "limit": "100", "spent": "90",
        "needed": "20",
    }  # fmt: skip
    assert status.output == "So far I foun"
    assert story.events[-1].run_failed.output == "So far I foun"
    assert (status.turns, status.usage.output_tokens) == (1, 20)


def test_a_run_says_what_it_spent_where() -> None:
    told = created()
    told.agents[0].model = "openai:m"
    story = Story(told).start()
    story.record(asks(story.run, ["add"]))
    story.record(returns("0.1.0"))
    assert not plan.status(story.run).spending
    story.record(says(story.run, "5", Usage(input_tokens=5, output_tokens=2)))

    [spent] = plan.status(story.run).spending

    assert (spent.agent, spent.model, spent.turns, spent.tool_calls) == ("clerk", "openai:m", 2, 1)
    assert spent.usage.input_tokens == 5


def test_spending_of_children_adds_up_by_agent_and_model() -> None:
    known = Usage(input_tokens=1, cost_nano_usd=3)
    ledger = added({}, "a", "m", usage=known, turns=1)
    ledger = merged(ledger, [Spending(agent="a", model="m", usage=known, turns=1, tool_calls=2)])
    ledger = merged(ledger, [Spending(agent="b", model="m", usage=Usage(), turns=1)])

    assert [s.agent for s in listed(ledger)] == ["a", "b"]
    assert ledger["a", "m"].usage == Usage(input_tokens=2, cost_nano_usd=6)
    assert (ledger["a", "m"].turns, ledger["a", "m"].tool_calls) == (2, 2)
    unpriced = merged(ledger, [Spending(agent="a", model="m", usage=Usage(), turns=1)])
    assert not unpriced["a", "m"].usage.HasField("cost_nano_usd")


async def test_a_call_is_counted_once_where_a_budget_bounds_calls() -> None:
    free = granted()
    free.unbounded = True
    free.unbounded_for.FromSeconds(2)
    state = FakeBudgets(free, granted(), refused(ReserveBudgetResponse.VERDICT_EXHAUSTED, BY))
    clock = FakeClock()
    allowances = Allowances(direct(state), patience(), clock)
    run = Story().start().run

    assert await allowances.refusal(run, "0.1.0") is None
    assert await allowances.refusal(run, "0.1.1") is None
    clock.advance(2)
    assert await allowances.refusal(run, "0.1.2") is None
    refusal = await allowances.refusal(run, "0.1.3")

    asked = [wish.reservation_id for wish in state.reserved]
    assert asked == [f"{RUN}/call/0.1.{i}" for i in (0, 2, 3)]
    assert all(w.tool_calls == 1 and not w.HasField("expiry") for w in state.reserved)
    assert refusal is not None
    assert refusal.reason == "BUDGET_EXHAUSTED"
    assert refusal.metadata["account"] == "agent clerk"
    bounded = Story(created(tool_calls=5)).start().run
    clock.advance(-1)
    assert await allowances.refusal(bounded, "0.1.0") is None
    assert len(state.reserved) == 4
