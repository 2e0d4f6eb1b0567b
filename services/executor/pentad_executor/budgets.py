"""Budgets around a model call: what it may spend is reserved before, and settled behind it."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad.state.v1.budget_pb2 import BudgetExhausted as ExhaustedBy
from pentad.state.v1.budget_service_pb2 import (
    ReserveBudgetRequest,
    ReserveBudgetResponse,
    SettleBudgetRequest,
    Spent,
)
from pentad.state.v1.message_pb2 import Usage
from pentad_chassis.clock import Clock, random_id
from pentad_chassis.unbounded import Unbounded
from pentad_executor.config import Config
from pentad_executor.errors import BudgetBusy, BudgetExhausted, ModelPriceUnknown
from pentad_executor.models import RULES, Call, Choice
from pentad_executor.settlements import Settlements

if TYPE_CHECKING:
    from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

_TIMEOUT_S = 5.0
_GRACE_S = 5.0
"""Beyond a turn's time, for its settlement; then the reservation expires."""

_BUSY_S = 5.0
"""Patience with turns that hold what is left; who waits longer leaves its place here to others."""
_PAUSE_S, _PAUSE_S_MAX = 0.05, 1.0

_SETTLED_S = 1.0
"""How long a turn waits until its own settlement is heard, so that the next finds it."""

_HIDDEN_TOKENS = 1000
"""What providers add to a request that has tools, unseen: a prompt of their own."""


@dataclass(slots=True)
class Allowance:
    """What one call of a model may spend."""

    call: Call
    reserved: bool = False
    output_tokens: int = 0
    """That were granted; 0 where no budget bounds them."""

    cut_by: ExhaustedBy | None = None
    """The budget that left less than the turn might have written."""

    tool_calls: int = 0
    """That the model asked for."""

    answered: bool = False


class Budgets:
    """Keeps turns inside of what they may spend."""

    def __init__(
        self,
        state: "BudgetServiceAsyncStub",
        settlements: Settlements,
        config: Config,
        clock: Clock,
    ) -> None:
        self._state = state
        self._settlements = settlements
        self._config = config
        self._unbounded = Unbounded(clock)

    @asynccontextmanager
    async def spending(
        self, choice: Choice, turn: ExecuteTurnRequest, timeout_s: float
    ) -> AsyncIterator[Allowance]:
        """Have room for the call inside the block, and enter behind it what it came to.

        The turn's limit becomes what is granted. Raises BudgetExhausted, BudgetBusy or
        ModelPriceUnknown before anything is spent.
        """
        call_id = f"{turn.run_id}/{turn.turn}/{random_id()[:12]}"
        allowance = Allowance(Call(call_id))
        if choice.provider == RULES or not turn.accounts:
            await self._count_turn(turn, allowance)
            yield allowance
            return
        try:
            if not self._is_unbounded(turn):
                await self._reserve(choice, turn, allowance, timeout_s)
            yield allowance
        finally:
            await self._settle(turn, allowance)

    def mark(self, allowance: Allowance, result: TurnResult) -> None:
        """Note what came of the call, and in the result that a budget may have cut it off."""
        allowance.answered = True
        allowance.tool_calls = len(result.message.tool_calls)
        if allowance.cut_by and result.usage.output_tokens >= allowance.output_tokens:
            result.exhausted.CopyFrom(allowance.cut_by)

    def _is_unbounded(self, turn: ExecuteTurnRequest) -> bool:
        brought = any(account.HasField("limit") for account in turn.accounts)
        return not brought and self._unbounded.covers(turn.tenant)

    async def _count_turn(self, turn: ExecuteTurnRequest, allowance: Allowance) -> None:
        """A model that costs nothing counts where a run bounds its turns."""
        accounts = [account for account in turn.accounts if account.limit.HasField("turns")]
        if accounts:
            request = _request(turn, allowance)
            request.accounts.extend(accounts)
            await self._granted(turn, request, min(_BUSY_S, self._config.turn_timeout_s))

    async def _reserve(
        self, choice: Choice, turn: ExecuteTurnRequest, allowance: Allowance, timeout_s: float
    ) -> None:
        config = self._config
        request = _request(turn, allowance)
        request.accounts.extend(turn.accounts)
        weight = choice.model.weigh(choice.name, turn)
        hidden = _HIDDEN_TOKENS if turn.tools else 0
        request.input_tokens = math.ceil(weight / config.budget_bytes_per_token) + hidden
        most = turn.max_output_tokens or config.budget_output_tokens
        request.output_tokens_most = most
        request.output_tokens_least = min(most, config.budget_output_tokens_least)
        if price := choice.model.price(choice.name, request.input_tokens, most):
            request.price.CopyFrom(price)
        request.expiry.CopyFrom(_duration(timeout_s + _GRACE_S))
        # Until there is an answer it may be reserved; who leaves then gives it back.
        allowance.reserved = True
        try:
            answer = await self._granted(turn, request, min(_BUSY_S, timeout_s))
        except (BudgetExhausted, BudgetBusy, ModelPriceUnknown):
            allowance.reserved = False
            raise
        allowance.reserved = not answer.unbounded
        if granted := answer.output_tokens:
            turn.max_output_tokens = allowance.output_tokens = granted
        if answer.HasField("exhausted"):
            allowance.cut_by = answer.exhausted

    async def _granted(
        self, turn: ExecuteTurnRequest, request: ReserveBudgetRequest, patience_s: float
    ) -> ReserveBudgetResponse:
        """Return the grant; wait a little while others hold what is left."""
        until_s = self._unbounded.now() + patience_s
        pause_s = _PAUSE_S
        while True:
            asked_at_s = self._unbounded.now()
            answer = await self._state.ReserveBudget(request, timeout=_TIMEOUT_S)
            match answer.verdict:
                case ReserveBudgetResponse.VERDICT_GRANTED:
                    self._unbounded.learn(turn.tenant, asked_at_s, answer.unbounded_for)
                    return answer
                case ReserveBudgetResponse.VERDICT_UNPRICED:
                    raise ModelPriceUnknown(turn.agent.model, answer.exhausted)
                case ReserveBudgetResponse.VERDICT_EXHAUSTED:
                    raise BudgetExhausted(answer.exhausted)
            # At once they would all meet again.
            waited_s = random.uniform(0, pause_s)  # noqa: S311 - nobody gains by guessing it
            if asked_at_s + waited_s > until_s:
                raise BudgetBusy(answer.exhausted, pause_s)
            await asyncio.sleep(waited_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    async def _settle(self, turn: ExecuteTurnRequest, allowance: Allowance) -> None:
        request = SettleBudgetRequest(
            tenant=turn.tenant,
            reservation_id=allowance.call.call_id,
            agent=turn.agent.name,
            model=turn.agent.model,
        )
        call, usage = allowance.call, allowance.call.usage
        if usage is None and allowance.answered and not allowance.reserved:
            usage = Usage()  # from a provider that does not say; the turn counts all the same
        if usage is not None:
            request.spent.CopyFrom(Spent(usage=usage, tool_calls=allowance.tool_calls))
        elif not allowance.reserved:
            return
        elif call.taken:
            request.unknown = True
        else:
            request.unused = True
        task = self._settlements.tell(request)
        if task is not None and allowance.reserved and usage is not None:
            await asyncio.wait({task}, timeout=_SETTLED_S)


def _request(turn: ExecuteTurnRequest, allowance: Allowance) -> ReserveBudgetRequest:
    return ReserveBudgetRequest(
        tenant=turn.tenant,
        reservation_id=allowance.call.call_id,
        turns=1,
        agent=turn.agent.name,
        model=turn.agent.model,
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
