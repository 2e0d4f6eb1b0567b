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

    async def make(self, call: Call, not_done_up_to: int = 0) -> InvokeToolResponse | InProgress:
        """Return the call's outcome, from now or from before.

        A person may vouch that no attempt up to `not_done_up_to` took place. It counts where
        neither the ledger nor the tool's check knows better, and for no attempt allowed since:
        whoever says it late, or again, has nothing run twice.

        If the caller leaves, a ONCE call is finished and recorded. Others stop; their entry runs
        out by itself, after which they may be run again.
        """
        if call.tool.effect is Effect.ONCE:
            return await self._tasks.finish(self._make(call, not_done_up_to))
        return await self._make(call, not_done_up_to)

    async def _make(self, call: Call, not_done_up_to: int) -> InvokeToolResponse | InProgress:
        begun = await self._ledger.begin(call)
        match begun.verdict:
            case BeginEffectResponse.VERDICT_REPLAY:
                return response(begun.outcome, replayed=True)
            case BeginEffectResponse.VERDICT_IN_PROGRESS:
                return InProgress(begun.retry_after.ToMilliseconds() / 1000)
            case BeginEffectResponse.VERDICT_OUTCOME_UNKNOWN:
                match await self._runner.check(call):
                    case Done(result):
                        found = outcome.returned(result)
                        await self._ledger.resolve(call, begun.fence, found)
                        return response(found, replayed=True)
                    case finding if finding is NOT_DONE or 0 < begun.attempt <= not_done_up_to:
                        begun.attempt = await self._ledger.resolve(call, begun.fence, None)
                    case _:
                        raise _unknown(call, begun.attempt)
        return response(await self._execute(call, begun))

    async def _execute(self, call: Call, begun: BeginEffectResponse) -> EffectOutcome:
        async with self._ledger.holding(call, begun.fence):
            await failpoint("tools.execute.before")
            ended = await self._runner.run(call)
            await failpoint("tools.execute.after")
            if isinstance(ended, Overran):
                ended = await self._after_timeout(call, begun, ended)
            return await self._ledger.complete(call, begun.fence, ended)

    async def _after_timeout(
        self, call: Call, begun: BeginEffectResponse, overran: Overran[EffectOutcome]
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
            self._tasks.watch(self._outlast(call, begun.fence, overran.end))
        raise _unknown(call, begun.attempt)

    async def _outlast(self, call: Call, fence: int, end: asyncio.Future[EffectOutcome]) -> None:
        async with self._ledger.holding(call, fence):
            await self._ledger.complete(call, fence, await end)


def response(ended: EffectOutcome, *, replayed: bool = False) -> InvokeToolResponse:
    """Return the outcome as callers get it."""
    if ended.HasField("error"):
        return InvokeToolResponse(error=ended.error, replayed=replayed)
    return InvokeToolResponse(result=ended.result, replayed=replayed)


def _unknown(call: Call, attempt: int) -> EffectOutcomeUnknown:
    return EffectOutcomeUnknown(call.key.run_id, call.key.call_id, call.tool.name, attempt)
