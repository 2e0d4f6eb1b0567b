"""The effect ledger, as a runner uses it; the state service keeps it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_before_delay
from tenacity.wait import wait_random_exponential

from pentad.state.v1 import effect_service_pb2 as pb
from pentad_chassis.clock import random_id
from pentad_chassis.errors import DeadlineExceeded, ServiceError, Unavailable
from pentad_chassis.failpoints import failpoint
from pentad_chassis.telemetry import Telemetry
from pentad_tools.call import Call
from pentad_tools.errors import CallInProgress
from pentad_tools.tasks import Tasks
from pentad_tools.tool import Effect

if TYPE_CHECKING:
    from pentad.state.v1.effect_service_pb2_grpc import EffectServiceAsyncStub

_RPC_S = 2.0
_RECORD_ONCE_S = 60.0
"""How long to try to record the outcome of a ONCE call: the record is all that is left of it."""

_BACKOFF = wait_random_exponential(multiplier=0.05, max=1.0)


class Ledger:
    """Enters calls, says that they go on, and records how they end."""

    def __init__(
        self, stub: "EffectServiceAsyncStub", tasks: Tasks, hold_s: float, telemetry: Telemetry
    ) -> None:
        self._stub = stub
        self._tasks = tasks
        self._hold_s = hold_s
        self._hold = Duration()
        self._hold.FromMilliseconds(int(hold_s * 1000))
        self._telemetry = telemetry

    async def begin(self, call: Call) -> pb.BeginEffectResponse:
        """Enter the call, and return what is to be done about it."""
        request = pb.BeginEffectRequest(
            key=call.key,
            fingerprint=call.fingerprint,
            effect=call.tool.effect.value,
            runner=random_id(),
            hold=self._hold,
        )
        await failpoint("tools.begin.before")
        begun = await self._stub.BeginEffect(request, timeout=_RPC_S)
        await failpoint("tools.begin.after")
        return begun

    @asynccontextmanager
    async def holding(self, call: Call, fence: int) -> AsyncIterator[None]:
        """Say that the call goes on until the block is left."""
        beating = self._tasks.watch(self._beat(call, fence))
        try:
            yield
        finally:
            beating.cancel()

    async def complete(self, call: Call, fence: int, ended: pb.EffectOutcome) -> pb.EffectOutcome:
        """Record how the call ended; return what is recorded, which an earlier attempt may have.

        While the state service is away this tries again: for as long as the entry is held, or
        longer for a ONCE call, whose outcome could not be had a second time.
        """
        request = pb.CompleteEffectRequest(key=call.key, fence=fence, outcome=ended)
        try:
            async for attempt in self._persisting(call):
                with attempt:
                    await failpoint("tools.complete.before")
                    response = await self._stub.CompleteEffect(request, timeout=_RPC_S)
                    await failpoint("tools.complete.after")
        except ServiceError as error:
            if error.reason == "EFFECT_NOT_FOUND":
                # The outcome is known all the same, and the run's journal will hold it.
                self._telemetry.log.warning("the ledger lost a call", tool=call.tool.name)
                return ended
            raise self._translated(error, call) from error
        return response.outcome

    async def resolve(self, call: Call, fence: int, found: pb.EffectOutcome | None) -> int:
        """Settle a call whose outcome was unknown: with an outcome, or as never made.

        Returns which attempt may be made, if it was not.
        """
        request = pb.ResolveEffectRequest(key=call.key, fence=fence, outcome=found, hold=self._hold)
        try:
            response = await self._stub.ResolveEffect(request, timeout=_RPC_S)
        except ServiceError as error:
            raise self._translated(error, call) from error
        return response.attempt

    async def _beat(self, call: Call, fence: int) -> None:
        request = pb.ExtendEffectRequest(key=call.key, fence=fence, hold=self._hold)
        while True:
            await asyncio.sleep(self._hold_s / 3)
            try:
                await failpoint("tools.extend.before")
                await self._stub.ExtendEffect(request, timeout=self._hold_s / 3)
                await failpoint("tools.extend.after")
            except (Unavailable, DeadlineExceeded):
                continue  # the next one may be in time
            except ServiceError as error:
                # The entry is another's now; completing it will say so to the caller.
                self._telemetry.log.warning(
                    "a call was taken over", tool=call.tool.name, reason=error.reason
                )
                return

    def _persisting(self, call: Call) -> AsyncRetrying:
        once = call.tool.effect is Effect.ONCE
        return AsyncRetrying(
            stop=stop_before_delay(_RECORD_ONCE_S if once else self._hold_s),
            wait=_wait,
            retry=retry_if_exception_type((Unavailable, DeadlineExceeded)),
            reraise=True,
        )

    def _translated(self, error: ServiceError, call: Call) -> ServiceError:
        """Return what the caller is to see: that another runner has the call, if so."""
        if error.reason != "STALE_FENCE":
            return error
        return CallInProgress(call.key.run_id, call.key.call_id, self._hold_s / 3)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_s if isinstance(error, ServiceError) else None
    return max(asked or 0.0, _BACKOFF(state))
