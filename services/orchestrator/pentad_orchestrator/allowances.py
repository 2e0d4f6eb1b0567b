"""Calls of tools, counted before they are begun where a budget bounds them."""

from functools import partial
from typing import TYPE_CHECKING

from pentad.state.v1.budget_service_pb2 import ReserveBudgetRequest, ReserveBudgetResponse
from pentad.state.v1.message_pb2 import ToolError
from pentad_chassis.clock import Clock
from pentad_chassis.unbounded import Unbounded
from pentad_orchestrator import exhaustion
from pentad_orchestrator.accounts import accounts_for
from pentad_orchestrator.patience import Patience
from pentad_orchestrator.run import Run
from pentad_orchestrator.spending import NOBODY

if TYPE_CHECKING:
    from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

_TIMEOUT_S = 5.0


class Allowances:
    """Asks whether a call may be made; what it says yes to is spent."""

    def __init__(self, state: "BudgetServiceAsyncStub", patience: Patience, clock: Clock) -> None:
        self._state = state
        self._patience = patience
        self._unbounded = Unbounded(clock)

    async def refusal(self, run: Run, call_id: str) -> ToolError | None:
        """Return why a call may not be made, or count it; a repeat counts once."""
        tenant = run.created.tenant
        accounts = accounts_for(run)
        brought = any(account.limit.HasField("tool_calls") for account in accounts)
        if not brought and self._unbounded.covers(tenant):
            return None
        request = ReserveBudgetRequest(
            tenant=tenant,
            reservation_id=f"{run.run_id}/call/{call_id}",
            accounts=accounts,
            tool_calls=1,
            agent=run.agent.name or NOBODY,
            model=run.agent.model or NOBODY,
        )
        answer = await self._patience.until_answered(
            partial(self._ask, request), what="ReserveBudget"
        )
        if answer.verdict == ReserveBudgetResponse.VERDICT_GRANTED:
            return None
        failure = exhaustion.failure_of(answer.exhausted)
        return ToolError(reason=failure.reason, message=failure.message, metadata=failure.metadata)

    async def _ask(self, request: ReserveBudgetRequest) -> ReserveBudgetResponse:
        asked_at_s = self._unbounded.now()
        answer = await self._state.ReserveBudget(request, timeout=_TIMEOUT_S)
        self._unbounded.learn(request.tenant, asked_at_s, answer.unbounded_for)
        return answer
