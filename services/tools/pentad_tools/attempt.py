"""One attempt at a call: begin → execute → complete, as the effect of its tool demands."""

import asyncio
from dataclasses import dataclass

from pentad.state.v1.effect_service_pb2 import BeginEffectResponse, EffectOutcome
from pentad.tools.v1.tools_service_pb2 import InvokeToolResponse
from pentad_chassis.failpoints import failpoint
from pentad_tools import outcome
from pentad_tools.call import Call
from pentad_tools.errors import EffectOutcomeUnknown
from pentad_tools.ledger import Ledger
from pentad_tools.outcome import Reason
from pentad_tools.runner import Overran, Runner
from pentad_tools.tasks import Tasks
from pentad_tools.tool import NOT_DONE, Done, Effect


@dataclass(frozen=True, slots=True)
class InProgress:
    """Another runner is at the call."""

    retry_after_s: float


class Attempts:
    """Makes attempts, each entered into the ledger before it runs."""

    def __init__(self, ledger: Ledger, runner: Runner, tasks: Tasks) -> None:
        self._ledger = ledger
        self._runner = runner
        self._tasks = tasks

    async def make(
        self, call: Call, *, known_not_done: bool = False
    ) -> InvokeToolResponse | InProgress:
        """Return the call's outcome, from now or from before.

        With `known_not_done` a person vouches that no attempt before took place; it counts where
        neither the ledger nor the tool's check knows better.

        If the caller leaves, a ONCE call is finished and recorded. Others stop; their entry runs
        out by itself, after which they may be run again.
        """
        if call.tool.effect is Effect.ONCE:
            return await self._tasks.finish(self._make(call, known_not_done=known_not_done))
        return await self._make(call, known_not_done=known_not_done)

    async def _make(self, call: Call, *, known_not_done: bool) -> InvokeToolResponse | InProgress:
        begun = await self._ledger.begin(call)
        match begun.verdict:
            case BeginEffectResponse.VERDICT_REPLAY:
                return response(begun.outcome, replayed=True)
            case BeginEffectResponse.VERDICT_IN_PROGRESS:
                return InProgress(begun.retry_after.ToMilliseconds() / 1000)
            case BeginEffectResponse.VERDICT_OUTCOME_UNKNOWN:
                found = await self._reconcile(call, begun.fence, known_not_done=known_not_done)
                if found is not None:
                    return response(found, replayed=True)
        return response(await self._execute(call, begun.fence))

    async def _reconcile(
        self, call: Call, fence: int, *, known_not_done: bool
    ) -> EffectOutcome | None:
        """Settle what a dead runner left: return the outcome it had, or None to run the call."""
        match await self._runner.check(call):
            case Done(result):
                found = outcome.returned(result)
                await self._ledger.resolve(call, fence, found)
                return found
            case finding if finding is NOT_DONE or known_not_done:
                await self._ledger.resolve(call, fence, None)
                return None
        raise _unknown(call)

    async def _execute(self, call: Call, fence: int) -> EffectOutcome:
        async with self._ledger.holding(call, fence):
            await failpoint("tools.execute.before")
            ended = await self._runner.run(call)
            await failpoint("tools.execute.after")
            if isinstance(ended, Overran):
                ended = await self._after_timeout(call, fence, ended)
            return await self._ledger.complete(call, fence, ended)

    async def _after_timeout(
        self, call: Call, fence: int, overran: Overran[EffectOutcome]
    ) -> EffectOutcome:
        timeout = outcome.failure(
            Reason.TOOL_TIMEOUT, f"{call.tool.name} took more than {call.tool.timeout_s:g} s"
        )
        if call.tool.effect is not Effect.ONCE:
            return timeout
        found = await self._runner.check(call)
        if isinstance(found, Done):
            return outcome.returned(found.result)
        if overran.end is None:
            if found is NOT_DONE:
                return timeout
        else:
            # What has not happened yet still may: hold the entry until the thread ends.
            self._tasks.watch(self._outlast(call, fence, overran.end))
        raise _unknown(call)

    async def _outlast(self, call: Call, fence: int, end: asyncio.Future[EffectOutcome]) -> None:
        async with self._ledger.holding(call, fence):
            await self._ledger.complete(call, fence, await end)


def response(ended: EffectOutcome, *, replayed: bool = False) -> InvokeToolResponse:
    """Return the outcome as callers get it."""
    if ended.HasField("error"):
        return InvokeToolResponse(error=ended.error, replayed=replayed)
    return InvokeToolResponse(result=ended.result, replayed=replayed)


def _unknown(call: Call) -> EffectOutcomeUnknown:
    return EffectOutcomeUnknown(call.key.run_id, call.key.call_id, call.tool.name)
