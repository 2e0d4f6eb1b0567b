"""Usage: what models consumed, by day, agent and model."""

from collections.abc import Sequence

from pentad.state.v1.budget_pb2 import Amounts, UsageRow
from pentad.state.v1.budget_service_pb2 import ListUsageRequest
from pentad.state.v1.message_pb2 import Usage as Consumed
from pentad_state.accounts import PART, from_day, to_day
from pentad_state.budgets import Budgets, budget_keys
from pentad_state.pages import SCANS_MAX, Page
from pentad_state.store import Store, script

_SCAN = 500


class Usage:
    """Reads what settled calls have left behind."""

    def __init__(self, store: Store, budgets: Budgets) -> None:
        self._store = store
        self._budgets = budgets

    async def list_usage(self, asked: ListUsageRequest) -> tuple[list[UsageRow], str]:
        """Return a page of a tenant's usage, and the token of the next."""
        first = f"[{to_day('from_day', asked.from_day)}" if asked.from_day else "-"
        last = f"[{to_day('to_day', asked.to_day)}{PART}\x7f" if asked.to_day else "+"
        listed = ("usage", asked.tenant, first, last, asked.agent, asked.model)
        page = Page[UsageRow](listed, asked.page_size, asked.page_token)
        await self._budgets.tidy(asked.tenant)
        for _ in range(SCANS_MAX):
            start = f"({page.last}" if page.last else first
            flat = await self._store.run(
                script("budget_usage"), budget_keys(asked.tenant), start, last, _SCAN
            )
            for place, sums in zip(flat[::2], flat[1::2], strict=True):
                if not page.room:
                    return page.items, page.next_token()
                row = _to_row(place.decode().split(PART), sums)
                if asked.agent in {"", row.agent} and asked.model in {"", row.model}:
                    page.add(place.decode(), row)
                else:
                    page.skip(place.decode())
            if len(flat) < 2 * _SCAN:
                return page.items, ""
        return page.items, page.next_token()


def _to_row(place: Sequence[str], kept: bytes) -> UsageRow:
    day, agent, model = place
    turns, calls, read, written, cached, cost, unpriced, unsettled, tokens, unknown = map(
        int, kept.decode().split(PART)
    )
    consumed = Consumed(
        input_tokens=read, output_tokens=written, cached_input_tokens=cached, cost_nano_usd=cost
    )
    return UsageRow(
        day=from_day(day),
        agent=agent,
        model=model,
        usage=consumed,
        turns=turns,
        tool_calls=calls,
        unpriced_turns=unpriced,
        unsettled_turns=unsettled,
        unsettled=Amounts(tokens=tokens, cost_nano_usd=unknown, turns=unsettled),
    )
