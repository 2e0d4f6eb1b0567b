"""What a turn may spend is reserved before its model is called, and settled behind it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest
from harness.fake_budgets import FakeBudgets, granted, refused
from harness.fakes import direct, fault
from harness.turns import llm_turn, rules_turn

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad.state.v1.budget_pb2 import Account, Budget, BudgetExhausted
from pentad.state.v1.budget_service_pb2 import Price, ReserveBudgetResponse
from pentad.state.v1.message_pb2 import Message, Usage
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import FailedPrecondition, ServiceError, Unavailable
from pentad_chassis.telemetry import silent_telemetry
from pentad_executor import errors
from pentad_executor.budgets import Allowance, Budgets
from pentad_executor.config import Config
from pentad_executor.models import Call, Choice
from pentad_executor.settlements import Settlements

if TYPE_CHECKING:
    from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

TENANT = Account(scope=Account.SCOPE_TENANT)
BY = BudgetExhausted(account=TENANT, quantity="tokens", limit=100, spent=90, needed=20)
USAGE = Usage(input_tokens=30, output_tokens=7)


class Model:
    """Says nothing; weighs 40 bytes."""

    async def stream(
        self, name: str, turn: ExecuteTurnRequest, call: Call
    ) -> AsyncGenerator[str | TurnResult, None]:
        yield "never asked"

    def weigh(self, name: str, turn: ExecuteTurnRequest) -> int:
        return 40

    def price(self, name: str, input_tokens: int, output_tokens: int) -> Price | None:
        return Price(input_nano_usd=2 * input_tokens, output_nano_usd_per_token=5)


CHOICE = Choice("openai", "m", Model())
RULES = Choice("rules", "m", Model())


def budgets_over(state: FakeBudgets, clock: FakeClock | None = None) -> Budgets:
    stub: BudgetServiceAsyncStub = direct(state)
    log = silent_telemetry("executor").log
    return Budgets(stub, Settlements(stub, log), Config(), clock or FakeClock())


def turn_of(*accounts: Account, limit: int = 0) -> ExecuteTurnRequest:
    return llm_turn(tenant="t", accounts=accounts or [TENANT], max_output_tokens=limit)


def answer(allowance: Allowance) -> TurnResult:
    allowance.call.taken = True
    allowance.call.usage = USAGE
    return TurnResult(message=Message(text="so"), usage=USAGE)


async def settled(state: FakeBudgets) -> None:
    async with asyncio.timeout(5):
        while not state.settled:  # noqa: ASYNC110 - a fake has no event to wait for
            await asyncio.sleep(0)


async def test_a_turn_reserves_its_bytes_and_gets_the_granted_limit() -> None:
    state = FakeBudgets(granted(12))
    turn = turn_of(limit=50)

    async with budgets_over(state).spending(CHOICE, turn, 30.0) as allowance:
        assert turn.max_output_tokens == 12
        answer(allowance)

    [wish] = state.reserved
    assert wish.input_tokens == 40 + 1000  # its tools bring a prompt that nobody sees
    assert (wish.output_tokens_least, wish.output_tokens_most) == (50, 50)
    assert wish.price == Price(input_nano_usd=2080, output_nano_usd_per_token=5)
    assert (wish.turns, wish.expiry.seconds) == (1, 35)
    assert list(wish.accounts) == [TENANT]
    [came_to] = state.settled
    assert came_to.reservation_id == wish.reservation_id == allowance.call.call_id
    assert came_to.spent.usage == USAGE
    assert (came_to.agent, came_to.model) == ("clerk", "openai:gpt-4o-mini")


@pytest.mark.parametrize(("taken", "outcome"), [(True, "unknown"), (False, "unused")])
async def test_a_call_without_usage_is_charged_only_if_it_was_taken(
    taken: bool, outcome: str
) -> None:
    state = FakeBudgets(granted(12))

    async def fail(allowance: Allowance) -> None:
        allowance.call.taken = taken
        raise fault(FailedPrecondition, "MODEL_REFUSED")

    with pytest.raises(FailedPrecondition):
        async with budgets_over(state).spending(CHOICE, turn_of(), 30.0) as allowance:
            await fail(allowance)

    await settled(state)
    assert state.settled[0].WhichOneof("outcome") == outcome


async def test_a_reservation_whose_answer_is_lost_is_given_back() -> None:
    state = FakeBudgets(fault(Unavailable, "STORE_UNAVAILABLE"))

    with pytest.raises(Unavailable):
        async with budgets_over(state).spending(CHOICE, turn_of(), 30.0):
            pytest.fail("nothing was granted")

    await settled(state)
    assert state.settled[0].unused


@pytest.mark.parametrize(
    ("verdict", "error", "reason"),
    [
        ("VERDICT_EXHAUSTED", errors.BudgetExhausted, "BUDGET_EXHAUSTED"),
        ("VERDICT_UNPRICED", errors.ModelPriceUnknown, "MODEL_PRICE_UNKNOWN"),
    ],
)
async def test_what_is_refused_calls_no_model_and_says_which_budget_it_was(
    verdict: str, error: type[ServiceError], reason: str
) -> None:
    state = FakeBudgets(refused(ReserveBudgetResponse.Verdict.Value(verdict), BY))

    with pytest.raises(error) as caught:
        async with budgets_over(state).spending(CHOICE, turn_of(), 30.0):
            pytest.fail("it was refused")

    assert caught.value.reason == reason
    assert caught.value.metadata["account"] == "the tenant"
    assert state.settled == []


async def test_a_busy_budget_is_waited_for_and_then_left_to_the_caller() -> None:
    busy = refused(ReserveBudgetResponse.VERDICT_BUSY, BY)
    state = FakeBudgets(busy, busy, granted(12))
    async with budgets_over(state).spending(CHOICE, turn_of(), 30.0) as allowance:
        answer(allowance)
    assert len(state.reserved) == 3
    assert len({wish.reservation_id for wish in state.reserved}) == 1

    state = FakeBudgets(*[busy] * 100)
    with pytest.raises(errors.BudgetBusy) as caught:
        async with budgets_over(state).spending(CHOICE, turn_of(), -1.0):
            pytest.fail("it is busy")
    assert caught.value.retry_after_s
    assert caught.value.metadata["quantity"] == "tokens"


async def test_who_is_unbounded_asks_once_in_a_while_and_tells_what_it_spent() -> None:
    free = granted()
    free.unbounded = True
    free.unbounded_for.FromSeconds(2)
    state, clock = FakeBudgets(free, free), FakeClock()
    budgets = budgets_over(state, clock)

    for _ in range(3):
        turn = turn_of(limit=50)
        async with budgets.spending(CHOICE, turn, 30.0) as allowance:
            budgets.mark(allowance, answer(allowance))
        assert turn.max_output_tokens == 50
    assert len(state.reserved) == 1
    clock.advance(2)
    async with budgets.spending(CHOICE, turn_of(), 30.0) as allowance:
        answer(allowance)
    assert len(state.reserved) == 2
    limited = Account(scope=Account.SCOPE_RUN, name="r", limit=Budget(tokens=5))
    async with budgets.spending(CHOICE, turn_of(TENANT, limited), 30.0) as allowance:
        answer(allowance)
    assert len(state.reserved) == 3
    async with asyncio.timeout(5):
        while len(state.settled) < 5:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0)


async def test_an_answer_as_long_as_a_budget_let_it_be_says_so() -> None:
    state = FakeBudgets(granted(7, cut_by=BY), granted(8, cut_by=BY))
    budgets = budgets_over(state)
    async with budgets.spending(CHOICE, turn_of(limit=50), 30.0) as allowance:
        cut = answer(allowance)
        budgets.mark(allowance, cut)
    async with budgets.spending(CHOICE, turn_of(limit=50), 30.0) as allowance:
        whole = answer(allowance)
        budgets.mark(allowance, whole)

    assert cut.exhausted == BY
    assert not whole.HasField("exhausted")


async def test_a_model_that_costs_nothing_counts_only_where_a_run_bounds_its_turns() -> None:
    state = FakeBudgets(granted())
    limited = Account(scope=Account.SCOPE_RUN, name="r", limit=Budget(turns=5))
    for accounts in ([TENANT], [TENANT, limited]):
        turn = rules_turn([])
        turn.tenant = "t"
        turn.accounts.extend(accounts)
        async with budgets_over(state).spending(RULES, turn, 30.0):
            pass

    [wish] = state.reserved
    assert list(wish.accounts) == [limited]
    assert wish.turns == 1
    assert not wish.HasField("expiry")
    assert state.settled == []


async def test_a_settlement_is_repeated_until_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pentad_executor.settlements._PAUSE_S", 0.0)

    class Deaf(FakeBudgets):
        tries = 0

        async def SettleBudget(self, request: object, context: object) -> object:  # type: ignore[override]
            self.tries += 1
            if self.tries < 3:
                raise fault(Unavailable, "STORE_UNAVAILABLE")
            return await super().SettleBudget(request, context)  # type: ignore[arg-type]

    state = Deaf(granted(12))
    async with budgets_over(state).spending(CHOICE, turn_of(), 30.0) as allowance:
        answer(allowance)

    await settled(state)
    assert state.tries == 3
