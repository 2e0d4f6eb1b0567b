"""What may be spent and what was, on the wire."""

from pentad.state.v1 import budget_service_pb2 as pb
from pentad.state.v1 import budget_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class BudgetServicer(pb_grpc.BudgetServiceServicer):
    """What may be spent and what was."""

    def __init__(self, core: StateCore) -> None:
        self._budgets = core.budgets
        self._usage = core.usage

    async def PutBudget(
        self, request: pb.PutBudgetRequest, context: Context
    ) -> pb.PutBudgetResponse:
        budget = await self._budgets.put(request.tenant, request.budget)
        return pb.PutBudgetResponse(budget=budget)

    async def GetBudget(
        self, request: pb.GetBudgetRequest, context: Context
    ) -> pb.GetBudgetResponse:
        budget = await self._budgets.get(request.tenant, request.account)
        return pb.GetBudgetResponse(budget=budget)

    async def ListBudgets(
        self, request: pb.ListBudgetsRequest, context: Context
    ) -> pb.ListBudgetsResponse:
        budgets, token = await self._budgets.list_budgets(
            request.tenant, request.page_size, request.page_token
        )
        return pb.ListBudgetsResponse(budgets=budgets, next_page_token=token)

    async def DeleteBudget(
        self, request: pb.DeleteBudgetRequest, context: Context
    ) -> pb.DeleteBudgetResponse:
        await self._budgets.delete(request.tenant, request.account)
        return pb.DeleteBudgetResponse()

    async def ReserveBudget(
        self, request: pb.ReserveBudgetRequest, context: Context
    ) -> pb.ReserveBudgetResponse:
        return await self._budgets.reserve(request)

    async def SettleBudget(
        self, request: pb.SettleBudgetRequest, context: Context
    ) -> pb.SettleBudgetResponse:
        await self._budgets.settle(request)
        return pb.SettleBudgetResponse()

    async def ListReservations(
        self, request: pb.ListReservationsRequest, context: Context
    ) -> pb.ListReservationsResponse:
        reservations, token = await self._budgets.list_reservations(
            request.tenant, request.page_size, request.page_token
        )
        return pb.ListReservationsResponse(reservations=reservations, next_page_token=token)

    async def ListUsage(
        self, request: pb.ListUsageRequest, context: Context
    ) -> pb.ListUsageResponse:
        rows, token = await self._usage.list_usage(request)
        return pb.ListUsageResponse(rows=rows, next_page_token=token)
