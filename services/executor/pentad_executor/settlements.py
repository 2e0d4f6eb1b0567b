"""What calls of models came to, told to the state service until it has heard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from pentad.state.v1.budget_service_pb2 import SettleBudgetRequest
from pentad_chassis.errors import DeadlineExceeded, ResourceExhausted, ServiceError, Unavailable

if TYPE_CHECKING:
    from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

_TIMEOUT_S = 5.0
_TRIES = 12
_PAUSE_S, _PAUSE_S_MAX = 0.1, 10.0
"""Together about a minute; what is not heard by then is charged as it was reserved."""

_AT_ONCE_MAX = 10_000
_CLOSE_S = 3.0


class Settlements:
    """Sends them in the background: no turn fails for want of its settlement."""

    def __init__(self, state: "BudgetServiceAsyncStub", log: FilteringBoundLogger) -> None:
        self._state = state
        self._log = log
        self._sending: set[asyncio.Task[None]] = set()

    def tell(self, request: SettleBudgetRequest) -> "asyncio.Task[None] | None":
        """Send it until it is heard; None when so many wait already that it is dropped."""
        if len(self._sending) >= _AT_ONCE_MAX:
            self._log.error("settlement dropped", reservation_id=request.reservation_id)
            return None
        # A context of its own: it outlives the turn, and that turn's deadline.
        task = asyncio.get_running_loop().create_task(self._send(request), context=Context())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    async def close(self) -> None:
        """Give what is on its way a moment."""
        if not self._sending:
            return
        _, late = await asyncio.wait(set(self._sending), timeout=_CLOSE_S)
        for task in late:
            task.cancel()
        if late:
            self._log.warning("settlements left behind", count=len(late))
            await asyncio.wait(late)

    async def _send(self, request: SettleBudgetRequest) -> None:
        for attempt in range(_TRIES):
            try:
                await self._state.SettleBudget(request, timeout=_TIMEOUT_S)
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                reason = error.reason
                await asyncio.sleep(min(_PAUSE_S * 2.0**attempt, _PAUSE_S_MAX))
            except ServiceError as error:
                reason = error.reason
                break
            else:
                return
        self._log.error("not settled", reservation_id=request.reservation_id, reason=reason)


@asynccontextmanager
async def open_settlements(
    state: "BudgetServiceAsyncStub", log: FilteringBoundLogger
) -> AsyncIterator[Settlements]:
    """Have settlements sent while the block runs."""
    settlements = Settlements(state, log)
    try:
        yield settlements
    finally:
        await settlements.close()
