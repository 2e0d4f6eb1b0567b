"""Budgets do what a simple model of them does, whatever the order of steps."""

from dataclasses import dataclass, field

import pytest
from harness.engines import SINGLE
from harness.machines import LONG_S, SETTINGS, SHORT_S, CoreMachine
from harness.noon import noon_zone
from harness.runs import seconds
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from pentad.state.v1.budget_pb2 import Account, AccountBudget, Budget
from pentad.state.v1.budget_service_pb2 import (
    ListUsageRequest,
    ReserveBudgetRequest,
    ReserveBudgetResponse,
    SettleBudgetRequest,
)
from pentad.state.v1.message_pb2 import Usage
from pentad_state.errors import BudgetNotFound

GRANTED = ReserveBudgetResponse.VERDICT_GRANTED
BUSY = ReserveBudgetResponse.VERDICT_BUSY
EXHAUSTED = ReserveBudgetResponse.VERDICT_EXHAUSTED

ACCOUNTS = {
    "tenant": Account(scope=Account.SCOPE_TENANT),
    "agent": Account(scope=Account.SCOPE_AGENT, name="a"),
    "session": Account(scope=Account.SCOPE_SESSION, name="s"),
    "run": Account(scope=Account.SCOPE_RUN, name="r", limit=Budget(tokens=120, turns=4)),
    "top": Account(scope=Account.SCOPE_RUN, name="t", limit=Budget(tokens=200)),
}
BROUGHT = {name: account.limit for name, account in ACCOUNTS.items() if account.HasField("limit")}
RECORDED = sorted(ACCOUNTS.keys() - BROUGHT.keys())
IDS = st.sampled_from(list("abcdef"))
NAMES = st.sets(st.sampled_from(sorted(ACCOUNTS)), max_size=4)
FEW = st.integers(0, 30)


@dataclass
class Held:
    """A reservation, as the model knows it."""

    accounts: list[str]
    tokens: int
    granted: int
    state: str = "open"
    entered: int = 0
    """Tokens in the usage that the provider counted."""


@dataclass
class Sums:
    """What an account has."""

    spent: int = 0
    turns: int = 0
    reserved: int = 0
    reserved_turns: int = 0


@dataclass
class Model:
    """What there is to know."""

    limits: dict[str, Budget] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=lambda: {name: Sums() for name in ACCOUNTS})
    held: dict[str, Held] = field(default_factory=dict)
    loose: dict[str, int] = field(default_factory=dict)
    """Usage that nothing was reserved for."""

    def bounds(self, names: set[str]) -> dict[str, Budget]:
        known = {**self.limits, **BROUGHT}
        return {name: known[name] for name in names if name in known}


class BudgetMachine(CoreMachine):
    """Does with budgets all that can be done."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.model = Model()
        self.zone = noon_zone()

    @rule(name=st.sampled_from(RECORDED), tokens=st.integers(1, 150), turns=st.integers(1, 5))
    def put(self, name: str, tokens: int, turns: int) -> None:
        account = ACCOUNTS[name]
        zone = "" if name == "session" else self.zone
        budget = Budget(tokens=tokens, turns=turns)
        self.run(
            self.core.budgets.put(
                "t", AccountBudget(account=account, budget=budget, time_zone=zone)
            )
        )
        self.model.limits[name] = budget

    @rule(name=st.sampled_from(RECORDED))
    def delete(self, name: str) -> None:
        self.run(self.core.budgets.delete("t", ACCOUNTS[name]))
        self.model.limits.pop(name, None)

    @rule(id_=IDS, names=NAMES, read=FEW, least=FEW, more=FEW, expires=st.booleans())
    def reserve(
        self, id_: str, names: set[str], read: int, least: int, more: int, expires: bool
    ) -> None:
        request = ReserveBudgetRequest(
            tenant="t", reservation_id=id_, agent="a", model="m", turns=1,
            accounts=[ACCOUNTS[name] for name in sorted(names)], input_tokens=read,
            output_tokens_least=least, output_tokens_most=least + more,
            expiry=seconds(SHORT_S if expires else LONG_S),
        )  # fmt: skip
        before = id_ in self.model.held
        answer = self.run(self.core.budgets.reserve(request))
        if before:
            assert answer.verdict == GRANTED
            assert answer.output_tokens == self.model.held[id_].granted
            return
        bounds = {} if id_ in self.model.loose else self.model.bounds(names)
        expected, written = self._verdict(bounds, read, least, least + more)
        assert answer.verdict == expected
        if answer.verdict != GRANTED or not bounds:
            return
        assert answer.output_tokens == written
        held = self.model.held[id_] = Held(sorted(bounds), read + written, written)
        for sums in self._sums(held):
            sums.reserved += held.tokens
            sums.reserved_turns += 1
        if expires:
            self.expire()
            self.run(self.core.budgets.tidy("t"))
            self._charge(held)

    @rule(id_=IDS, read=FEW, written=FEW)
    def spend(self, id_: str, read: int, written: int) -> None:
        request = self._outcome(id_)
        request.spent.usage.CopyFrom(Usage(input_tokens=read, output_tokens=written))
        self.run(self.core.budgets.settle(request))
        held = self.model.held.get(id_)
        if held is None:
            self.model.loose.setdefault(id_, read + written)
        elif self._give_back(held):
            held.entered = read + written
            for sums in self._sums(held):
                sums.spent += read + written
                sums.turns += 1

    @rule(id_=IDS)
    def release(self, id_: str) -> None:
        request = self._outcome(id_)
        request.unused = True
        self.run(self.core.budgets.settle(request))
        if held := self.model.held.get(id_):
            self._give_back(held)

    @rule(id_=IDS)
    def lose(self, id_: str) -> None:
        request = self._outcome(id_)
        request.unknown = True
        self.run(self.core.budgets.settle(request))
        held = self.model.held.get(id_)
        if held is not None and held.state == "open":
            self._charge(held)

    @invariant()
    def every_account_is_as_the_model_says(self) -> None:
        for name in RECORDED:
            if name not in self.model.limits:
                with pytest.raises(BudgetNotFound):
                    self.run(self.core.budgets.get("t", ACCOUNTS[name]))
                continue
            found = self.run(self.core.budgets.get("t", ACCOUNTS[name]))
            sums = self.model.sums[name]
            if name != "session" and not found.day:
                continue  # its day begins with the first call
            assert (found.spent.tokens, found.spent.turns) == (sums.spent, sums.turns)
            assert (found.reserved.tokens, found.reserved.turns) == (
                sums.reserved, sums.reserved_turns,
            )  # fmt: skip

    @invariant()
    def the_usage_is_what_was_settled_and_what_nobody_knows(self) -> None:
        rows, _ = self.run(self.core.usage.list_usage(ListUsageRequest(tenant="t")))
        held = self.model.held.values()
        counted = sum(row.usage.input_tokens + row.usage.output_tokens for row in rows)
        entered = sum(each.entered for each in held) + sum(self.model.loose.values())
        unknown = [each.tokens for each in held if each.state == "unsettled"]
        assert counted == entered
        assert sum(row.unsettled.tokens for row in rows) == sum(unknown)
        assert sum(row.unsettled_turns for row in rows) == len(unknown)

    @invariant()
    def only_what_is_open_is_reserved(self) -> None:
        found, _ = self.run(self.core.budgets.list_reservations("t", 100, ""))
        states = {"open": False, "unsettled": True}
        assert {each.reservation_id: each.unsettled for each in found} == {
            id_: states[held.state] for id_, held in self.model.held.items() if held.state in states
        }

    def _verdict(
        self, bounds: dict[str, Budget], read: int, least: int, most: int
    ) -> tuple[ReserveBudgetResponse.Verdict.ValueType, int]:
        verdict, written = GRANTED, most
        for name, limit in bounds.items():
            sums = self.model.sums[name]
            checks = [(limit.turns, sums.turns, sums.reserved_turns, 1)] if limit.turns else []
            if read + most:
                checks.append((limit.tokens, sums.spent, sums.reserved, read + least))
            for allowed, spent, reserved, needed in checks:
                if spent + needed > allowed:
                    return EXHAUSTED, 0
                if spent + reserved + needed > allowed:
                    verdict = BUSY
            if read + most:
                written = min(written, limit.tokens - sums.spent - sums.reserved - read)
        return verdict, written

    def _sums(self, held: Held) -> list[Sums]:
        return [self.model.sums[name] for name in held.accounts]

    def _charge(self, held: Held) -> None:
        held.state = "unsettled"
        for sums in self._sums(held):
            sums.reserved -= held.tokens
            sums.reserved_turns -= 1
            sums.spent += held.tokens
            sums.turns += 1

    def _give_back(self, held: Held) -> bool:
        """Undo what was reserved or charged; False for what is settled already."""
        if held.state == "settled":
            return False
        for sums in self._sums(held):
            if held.state == "open":
                sums.reserved -= held.tokens
                sums.reserved_turns -= 1
            else:
                sums.spent -= held.tokens
                sums.turns -= 1
        held.state = "settled"
        return True

    def _outcome(self, id_: str) -> SettleBudgetRequest:
        return SettleBudgetRequest(tenant="t", reservation_id=id_, agent="a", model="m")


@pytest.mark.parametrize("engine", SINGLE, indirect=True)
def test_budgets_follow_the_model(engine: str) -> None:
    machine = lambda: BudgetMachine(engine)  # noqa: E731 - a factory will do
    more = settings(SETTINGS, max_examples=40)
    run_state_machine_as_test(machine, settings=more)  # type: ignore[arg-type]
