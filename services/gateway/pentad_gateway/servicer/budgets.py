"""Budgets and usage: translation only."""

from pentad.gateway.v1 import (
    budget_service_pb2,
    budget_service_pb2_grpc,
    usage_service_pb2,
    usage_service_pb2_grpc,
)
from pentad_chassis.server import Context, caller
from pentad_gateway.budgets import BudgetCore


class BudgetServicer(budget_service_pb2_grpc.BudgetServiceServicer):
    """BudgetService over its core."""

    def __init__(self, core: BudgetCore) -> None:
        self._core = core

    async def PutBudget(
        self, request: budget_service_pb2.PutBudgetRequest, context: Context
    ) -> budget_service_pb2.PutBudgetResponse:
        budget = await self._core.put_budget(caller().tenant, request)
        return budget_service_pb2.PutBudgetResponse(budget=budget)

    async def GetBudget(
        self, request: budget_service_pb2.GetBudgetRequest, context: Context
    ) -> budget_service_pb2.GetBudgetResponse:
        budget = await self._core.get_budget(caller().tenant, request)
        return budget_service_pb2.GetBudgetResponse(budget=budget)

    async def ListBudgets(
        self, request: budget_service_pb2.ListBudgetsRequest, context: Context
    ) -> budget_service_pb2.ListBudgetsResponse:
        page = await self._core.list_budgets(caller().tenant, request)
        return budget_service_pb2.ListBudgetsResponse(
            budgets=page.budgets, next_page_token=page.next_page_token
        )

    async def DeleteBudget(
        self, request: budget_service_pb2.DeleteBudgetRequest, context: Context
    ) -> budget_service_pb2.DeleteBudgetResponse:
        await self._core.delete_budget(caller().tenant, request)
        return budget_service_pb2.DeleteBudgetResponse()

    async def ListReservations(
        self, request: budget_service_pb2.ListReservationsRequest, context: Context
    ) -> budget_service_pb2.ListReservationsResponse:
        page = await self._core.list_reservations(caller().tenant, request)
        return budget_service_pb2.ListReservationsResponse(
            reservations=page.reservations, next_page_token=page.next_page_token
        )


class UsageServicer(usage_service_pb2_grpc.UsageServiceServicer):
    """UsageService over its core."""

    def __init__(self, core: BudgetCore) -> None:
        self._core = core

    async def ListUsage(
        self, request: usage_service_pb2.ListUsageRequest, context: Context
    ) -> usage_service_pb2.ListUsageResponse:
        rows = await self._core.list_usage(caller().tenant, request)
        return usage_service_pb2.ListUsageResponse(rows=rows)
