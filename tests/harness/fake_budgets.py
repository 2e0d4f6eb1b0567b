"""Budgets as a test wants them: what is asked is remembered, what is answered is chosen."""

from collections import deque

from pentad.state.v1 import budget_service_pb2 as pb
from pentad.state.v1.budget_pb2 import BudgetExhausted
from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceServicer
from pentad_chassis.errors import ServiceError

GRANTED = pb.ReserveBudgetResponse.VERDICT_GRANTED


class FakeBudgets(BudgetServiceServicer):
    """Bounds nothing until it is given answers."""

    def __init__(self, *answers: pb.ReserveBudgetResponse | ServiceError) -> None:
        self.answers = deque(answers)
        """To reservations, in order; an error is raised. When they are over, nothing is bounded."""
        self.reserved: list[pb.ReserveBudgetRequest] = []
        self.settled: list[pb.SettleBudgetRequest] = []

    async def ReserveBudget(
        self, request: pb.ReserveBudgetRequest, context: object
    ) -> pb.ReserveBudgetResponse:
        self.reserved.append(request)
        if not self.answers:
            return pb.ReserveBudgetResponse(verdict=GRANTED, unbounded=True)
        answer = self.answers.popleft()
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    async def SettleBudget(
        self, request: pb.SettleBudgetRequest, context: object
    ) -> pb.SettleBudgetResponse:
        self.settled.append(request)
        return pb.SettleBudgetResponse()


def granted(
    output_tokens: int = 0, cut_by: BudgetExhausted | None = None
) -> pb.ReserveBudgetResponse:
    """Return that a call may be made."""
    return pb.ReserveBudgetResponse(verdict=GRANTED, output_tokens=output_tokens, exhausted=cut_by)


def refused(
    verdict: pb.ReserveBudgetResponse.Verdict.ValueType, exhausted: BudgetExhausted
) -> pb.ReserveBudgetResponse:
    """Return that it may not."""
    return pb.ReserveBudgetResponse(verdict=verdict, exhausted=exhausted)
