"""Budgets: what may be spent, and what was set aside for calls that are under way."""

import asyncio
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.budget_pb2 import Account, AccountBudget, BudgetExhausted, Reservation
from pentad.state.v1.budget_service_pb2 import (
    ReserveBudgetRequest,
    ReserveBudgetResponse,
    SettleBudgetRequest,
)
from pentad_state.accounts import (
    AMOUNT_MAX,
    DAILY,
    QUANTITIES,
    check_part,
    day_at,
    described,
    from_key,
    to_amounts,
    to_key,
    to_limit,
    to_record,
    zone_of,
)
from pentad_state.bounds import check_count, check_name, check_range, invalid, to_ms
from pentad_state.errors import BudgetNotFound, BudgetsFull, StoreUnavailable
from pentad_state.journal import to_time
from pentad_state.pages import SCAN, STAMP, Page
from pentad_state.partitions import key, partition_of
from pentad_state.store import Reply, Store, Value, script

FREE_MS = 2000
"""For so long callers may remember that a tenant has no budget; so long may setting one take."""

BUDGETS_MAX = 10_000
_ACCOUNTS_MAX = 64
_EXPIRY_S_MAX = 2 * 3600
_REMEMBERED_MS = 10 * 60 * 1000
"""How long a settled reservation is known for a repeat of its call."""
_SPENT_REMEMBERED_MS = 3600 * 1000
"""Likewise what is spent at once: a run that is taken over asks again."""
_TRIES = 3
_TIDIED_MAX = 2000
_GRANTED = ReserveBudgetResponse.VERDICT_GRANTED
_REFUSED = {
    b"BUSY": ReserveBudgetResponse.VERDICT_BUSY,
    b"EXHAUSTED": ReserveBudgetResponse.VERDICT_EXHAUSTED,
    b"UNPRICED": ReserveBudgetResponse.VERDICT_UNPRICED,
}
_KINDS = (
    "limits", "records", "index", "accounts", "account-ends", "usage", "rows", "free",
    "reservations", "open", "unsettled", "settled",
)  # fmt: skip


def budget_keys(tenant: str) -> list[str]:
    """Return the keys of all that a tenant may spend and did, as `accounts.lua` names them."""
    check_name("tenant", tenant)
    p = partition_of("budgets", tenant)
    return [key(p, f"budget-{kind}", tenant) for kind in _KINDS]


class Budgets:
    """Every method is one atomic step of the store, lists aside."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, tenant: str, budget: AccountBudget) -> AccountBudget:
        """Set a budget; it holds for every call that begins once this returns."""
        name = _recorded(budget.account)
        if budget.budget.HasField("wall_time"):
            raise invalid("budget.budget.wall_time", "must be unset: only a run's may have it")
        limit = to_limit("budget.budget", budget.budget)
        if not any(limit):
            raise invalid("budget.budget", "must bound at least one quantity")
        zone = zone_of(budget.time_zone).key if budget.account.scope in DAILY else ""
        verdict, *rest = await self._store.run(
            script("budget_put"),
            budget_keys(tenant),
            name, *limit, zone, budget.budget.SerializeToString(), BUDGETS_MAX,
        )  # fmt: skip
        if verdict == b"FULL":
            raise BudgetsFull(BUDGETS_MAX)
        # Who counts on there being none does so no longer; nobody is told so any more.
        await asyncio.sleep(rest[0] / 1000)
        return await self.get(tenant, budget.account)

    async def get(self, tenant: str, account: Account) -> AccountBudget:
        """Return a budget and what is spent of it."""
        [found] = await self._read(tenant, [_recorded(account)])
        if found is None:
            raise BudgetNotFound(described(account))
        return found

    async def list_budgets(
        self, tenant: str, size: int, token: str
    ) -> tuple[list[AccountBudget], str]:
        """Return a page of a tenant's budgets, and the token of the next."""
        page = Page[AccountBudget](("budgets", tenant), size, token)
        index = budget_keys(tenant)[_KINDS.index("index")]
        while True:
            start = f"({page.last}" if page.last else "-"
            members = await self._store.call("ZRANGEBYLEX", index, start, "+", "LIMIT", 0, SCAN)
            names = [member.decode() for member in members]
            found = await self._read(tenant, names) if names else []
            for name, budget in zip(names, found, strict=True):
                if not page.room:
                    return page.items, page.next_token()
                if budget is None:
                    page.skip(name)
                else:
                    page.add(name, budget)
            if len(names) < SCAN:
                return page.items, ""

    async def delete(self, tenant: str, account: Account) -> None:
        """Lift a budget."""
        await self._store.run(script("budget_delete"), budget_keys(tenant), _recorded(account))

    async def reserve(self, asked: ReserveBudgetRequest) -> ReserveBudgetResponse:
        """Set aside what a call may spend, or say why it may not be made."""
        keys, values = budget_keys(asked.tenant), _to_values(asked)
        for _ in range(_TRIES):
            verdict, *rest = await self._store.run(script("budget_reserve"), keys, *values)
            if verdict != b"OVER":
                return _to_response(verdict, rest)
            name, zone, ms = rest
            day, over = day_at(int(ms), zone.decode())
            await self._store.run(script("budget_begin_day"), keys, name, zone, day, over)
        raise StoreUnavailable("its days end while they begin")

    async def settle(self, asked: SettleBudgetRequest) -> None:
        """Put what a call came to in the place of what was reserved for it."""
        _check_names(asked)
        outcome, usage = asked.WhichOneof("outcome"), asked.spent.usage
        if outcome is None:
            raise invalid("outcome", "must be set")
        for name in ("input_tokens", "output_tokens", "cached_input_tokens", "cost_nano_usd"):
            check_range(f"spent.usage.{name}", int(getattr(usage, name)), 0, AMOUNT_MAX)
        check_range("spent.tool_calls", asked.spent.tool_calls, 0, AMOUNT_MAX)
        await self._store.run(
            script("budget_settle"),
            budget_keys(asked.tenant),
            asked.reservation_id, asked.agent, asked.model, outcome,
            usage.input_tokens, usage.output_tokens, usage.cached_input_tokens,
            usage.cost_nano_usd if usage.HasField("cost_nano_usd") else "",
            asked.spent.tool_calls, _REMEMBERED_MS,
        )  # fmt: skip

    async def tidy(self, tenant: str) -> None:
        """Charge all that has expired; every reader does first."""
        await self._read(tenant, [])

    async def list_reservations(
        self, tenant: str, size: int, token: str
    ) -> tuple[list[Reservation], str]:
        """Return a page of reservations that are not settled, and the token of the next."""
        await self.tidy(tenant)
        page = Page[Reservation](("reservations", tenant), size, token)
        kind, last = page.last[:1] or "0", page.last[1:]
        while True:
            which = "unsettled" if kind == "1" else "open"
            found = await self._store.run(
                script("budget_reservations"),
                budget_keys(tenant),
                which, last[:STAMP], last[STAMP:], SCAN,
            )  # fmt: skip
            for name, end, amounts in found:
                if not page.room:
                    return page.items, page.next_token()
                last = end.decode() + name.decode()
                page.add(kind + last, _to_reservation(name, end, amounts, charged=kind == "1"))
            if len(found) < SCAN and kind == "1":
                return page.items, ""
            if len(found) < SCAN:
                kind, last = "1", ""

    async def _read(self, tenant: str, names: Sequence[str]) -> list[AccountBudget | None]:
        for _ in range(_TIDIED_MAX):
            _, expired, *found = await self._store.run(
                script("budget_read"), budget_keys(tenant), *names
            )
            if not expired:
                break
        return [to_record(n, f) if f else None for n, f in zip(names, found, strict=True)]


def _recorded(account: Account) -> str:
    if account.scope == Account.SCOPE_RUN:
        raise invalid("account.scope", "must not be a run: its budget stands in its spec")
    return to_key(account)


def _check_names(asked: ReserveBudgetRequest | SettleBudgetRequest) -> None:
    check_part("reservation_id", asked.reservation_id)
    check_part("agent", asked.agent)
    check_part("model", asked.model)


def _to_values(asked: ReserveBudgetRequest) -> list[Value]:
    """Return what the script is asked, once all of it is in order."""
    _check_names(asked)
    check_count("accounts", len(asked.accounts), _ACCOUNTS_MAX)
    for name in ("input_tokens", "output_tokens_most", "turns", "tool_calls"):
        check_range(name, int(getattr(asked, name)), 0, 2**40)
    check_range("output_tokens_least", asked.output_tokens_least, 0, asked.output_tokens_most)
    check_range("price.input_nano_usd", asked.price.input_nano_usd, 0, AMOUNT_MAX)
    check_range(
        "price.output_nano_usd_per_token",
        asked.price.output_nano_usd_per_token, 0, AMOUNT_MAX // max(asked.output_tokens_most, 1),
    )  # fmt: skip
    values: list[Value] = [
        asked.reservation_id, asked.agent, asked.model,
        asked.input_tokens, asked.output_tokens_least, asked.output_tokens_most,
        asked.price.input_nano_usd if asked.HasField("price") else "",
        asked.price.output_nano_usd_per_token, asked.turns, asked.tool_calls,
        to_ms("expiry", asked.expiry, _EXPIRY_S_MAX) if asked.HasField("expiry") else 0,
        _SPENT_REMEMBERED_MS, FREE_MS,
    ]  # fmt: skip
    for i, account in enumerate(asked.accounts):
        if account.HasField("limit") and account.scope != Account.SCOPE_RUN:
            raise invalid(f"accounts[{i}].limit", "must be unset: it is recorded")
        values += [to_key(account), *to_limit(f"accounts[{i}].limit", account.limit)]
    return values


def _to_response(verdict: bytes, rest: Sequence[Reply]) -> ReserveBudgetResponse:
    if verdict == b"GRANTED":
        granted, *cut_by = rest
        exhausted = _to_exhausted(cut_by) if cut_by else None
        return ReserveBudgetResponse(
            verdict=_GRANTED, output_tokens=int(granted), exhausted=exhausted
        )
    if verdict == b"UNBOUNDED":
        response = ReserveBudgetResponse(verdict=_GRANTED, unbounded=True)
        if free_ms := int(rest[0]):
            free = Duration()
            free.FromMilliseconds(free_ms)
            response.unbounded_for.CopyFrom(free)
        return response
    return ReserveBudgetResponse(verdict=_REFUSED[verdict], exhausted=_to_exhausted(rest))


def _to_exhausted(said: Sequence[Reply]) -> BudgetExhausted:
    name, quantity, limit, spent, needed = said
    return BudgetExhausted(
        account=from_key(name.decode()),
        quantity=QUANTITIES[quantity - 1],
        limit=int(limit),
        spent=int(spent),
        needed=int(needed),
    )


def _to_reservation(name: bytes, end: bytes, amounts: bytes, *, charged: bool) -> Reservation:
    return Reservation(
        reservation_id=name.decode(),
        amounts=to_amounts(amounts),
        unsettled=charged,
        expire_time=to_time(int(end)),
    )
