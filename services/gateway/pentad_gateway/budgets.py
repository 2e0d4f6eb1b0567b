"""What a tenant, its agents and its sessions may spend, and what they did."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pentad.gateway.v1 import budget_service_pb2, usage_service_pb2
from pentad.state.v1.budget_pb2 import AccountBudget, Amounts, UsageRow
from pentad.state.v1.budget_service_pb2 import (
    DeleteBudgetRequest,
    GetBudgetRequest,
    ListBudgetsRequest,
    ListBudgetsResponse,
    ListReservationsRequest,
    ListReservationsResponse,
    ListUsageRequest,
    PutBudgetRequest,
)
from pentad.state.v1.message_pb2 import Usage
from pentad_gateway import validation
from pentad_gateway.errors import UsageTooManyRows, require

if TYPE_CHECKING:
    from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

_PAGE = 500
_ROWS_READ_MAX = 100_000
_ROWS_MAX = 10_000
_Group = usage_service_pb2.ListUsageRequest


class BudgetCore:
    """Budgets, which any key of their tenant may set."""

    def __init__(self, state: "BudgetServiceAsyncStub") -> None:
        self._state = state

    async def put_budget(
        self, tenant: str, request: budget_service_pb2.PutBudgetRequest
    ) -> AccountBudget:
        """Set a budget."""
        require(validation.put_budget(request))
        budget = AccountBudget(
            account=request.account, budget=request.budget, time_zone=request.time_zone
        )
        response = await self._state.PutBudget(PutBudgetRequest(tenant=tenant, budget=budget))
        return response.budget

    async def get_budget(
        self, tenant: str, request: budget_service_pb2.GetBudgetRequest
    ) -> AccountBudget:
        """Return a budget."""
        require(validation.name_budget(request))
        asked = GetBudgetRequest(tenant=tenant, account=request.account)
        return (await self._state.GetBudget(asked)).budget

    async def list_budgets(
        self, tenant: str, request: budget_service_pb2.ListBudgetsRequest
    ) -> ListBudgetsResponse:
        """Return a page of budgets."""
        require(validation.list_budgets(request))
        return await self._state.ListBudgets(
            ListBudgetsRequest(
                tenant=tenant, page_size=request.page_size, page_token=request.page_token
            )
        )

    async def delete_budget(
        self, tenant: str, request: budget_service_pb2.DeleteBudgetRequest
    ) -> None:
        """Lift a budget."""
        require(validation.name_budget(request))
        await self._state.DeleteBudget(DeleteBudgetRequest(tenant=tenant, account=request.account))

    async def list_reservations(
        self, tenant: str, request: budget_service_pb2.ListReservationsRequest
    ) -> ListReservationsResponse:
        """Return a page of what is set aside, or was charged unsettled."""
        require(validation.list_budgets(request))
        return await self._state.ListReservations(
            ListReservationsRequest(
                tenant=tenant, page_size=request.page_size, page_token=request.page_token
            )
        )

    async def list_usage(
        self, tenant: str, request: usage_service_pb2.ListUsageRequest
    ) -> list[UsageRow]:
        """Return what was spent, added up over all that the rows are not of."""
        require(validation.list_usage(request))
        asked = ListUsageRequest(
            tenant=tenant,
            from_day=request.from_day,
            to_day=request.to_day,
            agent=request.agent,
            model=request.model,
            page_size=_PAGE,
        )
        sums: dict[tuple[str, str, str], UsageRow] = {}
        read = 0
        while True:
            page = await self._state.ListUsage(asked)
            read += len(page.rows)
            for row in page.rows:
                _add(sums, row, request.group_by)
            if read > _ROWS_READ_MAX or len(sums) > _ROWS_MAX:
                raise UsageTooManyRows(_ROWS_MAX)
            if not page.next_page_token:
                return [sums[key] for key in sorted(sums)]
            asked.page_token = page.next_page_token


def _add(
    sums: dict[tuple[str, str, str], UsageRow],
    row: UsageRow,
    groups: Iterable[usage_service_pb2.ListUsageRequest.Group.ValueType],
) -> None:
    wanted = set(groups) or {_Group.GROUP_DAY, _Group.GROUP_AGENT, _Group.GROUP_MODEL}
    key = (
        row.day if _Group.GROUP_DAY in wanted else "",
        row.agent if _Group.GROUP_AGENT in wanted else "",
        row.model if _Group.GROUP_MODEL in wanted else "",
    )
    day, agent, model = key
    before = sums.get(key, UsageRow())
    sums[key] = UsageRow(
        day=day,
        agent=agent,
        model=model,
        usage=Usage(
            input_tokens=before.usage.input_tokens + row.usage.input_tokens,
            output_tokens=before.usage.output_tokens + row.usage.output_tokens,
            cached_input_tokens=before.usage.cached_input_tokens + row.usage.cached_input_tokens,
            cost_nano_usd=before.usage.cost_nano_usd + row.usage.cost_nano_usd,
        ),
        turns=before.turns + row.turns,
        tool_calls=before.tool_calls + row.tool_calls,
        unpriced_turns=before.unpriced_turns + row.unpriced_turns,
        unsettled_turns=before.unsettled_turns + row.unsettled_turns,
        unsettled=Amounts(
            tokens=before.unsettled.tokens + row.unsettled.tokens,
            cost_nano_usd=before.unsettled.cost_nano_usd + row.unsettled.cost_nano_usd,
            turns=before.unsettled.turns + row.unsettled.turns,
        ),
    )
