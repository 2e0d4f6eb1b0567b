"""Tool calls: one call of the tools service, as one event."""

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.event_pb2 import EffectUnknown, Event, ToolCallCompleted
from pentad.state.v1.message_pb2 import ToolCall, ToolError
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest, InvokeToolResponse
from pentad_chassis.clock import Clock
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import failpoint
from pentad_orchestrator.allowances import Allowances
from pentad_orchestrator.bounds import to_seconds
from pentad_orchestrator.commands import InvokeTool
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.patience import Patience, is_away
from pentad_orchestrator.pauses import EFFECT_OUTCOME_UNKNOWN
from pentad_orchestrator.run import Calling, Run

if TYPE_CHECKING:
    from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceAsyncStub

_REPORT_S = 10.0
"""Beyond the tool's own time, for the ledger and for the report of a timeout."""

_TIMEOUT_S_DEFAULT = 60.0
_IN_PROGRESS = "CALL_IN_PROGRESS"


class Calls:
    """Has tools called."""

    def __init__(
        self,
        tools: "ToolsServiceAsyncStub",
        allowances: Allowances,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._tools = tools
        self._allowances = allowances
        self._patience = patience
        self._clock = clock

    async def invoke(self, run: Run, command: InvokeTool) -> Event:
        """Return `tool_call_completed`, or `effect_unknown`; wait while there is no tool-runner.

        Repeating is safe: the call keeps its id, and the ledger knows what became of it.
        """
        assert isinstance(run.phase, Calling | InGraph), "only these ask for calls"
        wish = run.phase.call(command.call_id).wish
        began = self._clock.monotonic()
        try:
            if error := await self._allowances.refusal(run, wish.call_id):
                response = InvokeToolResponse(error=error)
            else:
                response = await self._answer(run, wish, command.not_done_up_to)
        except ServiceError as error:
            if error.reason == EFFECT_OUTCOME_UNKNOWN:
                return Event(effect_unknown=_to_unknown(run, wish, error))
            # No outcome of the call but a failure of Pentad's; its reason ends the run.
            response = InvokeToolResponse(
                error=ToolError(reason=error.reason, message=error.message)
            )
        completed = _to_completed(wish, response)
        completed.step = run.planned.name
        completed.elapsed.CopyFrom(_duration(self._clock.monotonic() - began))
        return Event(tool_call_completed=completed)

    async def _answer(self, run: Run, wish: ToolCall, not_done_up_to: int) -> InvokeToolResponse:
        request = InvokeToolRequest(
            tenant=run.created.tenant,
            run_id=run.run_id,
            call_id=wish.call_id,
            tool=wish.tool,
            arguments=wish.arguments,
            not_done_up_to=not_done_up_to,
        )
        timeout_s = _timeout_s(run, wish.tool)

        async def attempt() -> InvokeToolResponse:
            await failpoint("orchestrator.invoke.before")
            response = await self._tools.InvokeTool(request, timeout=timeout_s)
            await failpoint("orchestrator.invoke.after")
            return response

        return await self._patience.until_answered(
            attempt, what="InvokeTool", repeat_after=_may_be_repeated
        )


def _may_be_repeated(error: ServiceError) -> bool:
    return is_away(error) or error.reason == _IN_PROGRESS


def _timeout_s(run: Run, name: str) -> float:
    timeouts = (to_seconds(tool.timeout) for tool in run.created.tools if tool.name == name)
    # A ONCE tool's check has the tool's time too.
    return 2 * (next(timeouts, 0.0) or _TIMEOUT_S_DEFAULT) + _REPORT_S


def _to_unknown(run: Run, wish: ToolCall, error: ServiceError) -> EffectUnknown:
    return EffectUnknown(
        step=run.planned.name,
        call_id=wish.call_id,
        tool=wish.tool,
        attempt=int(error.metadata.get("attempt", "0")),
    )


def _to_completed(wish: ToolCall, response: InvokeToolResponse) -> ToolCallCompleted:
    completed = ToolCallCompleted(call_id=wish.call_id, tool=wish.tool, replayed=response.replayed)
    if response.WhichOneof("outcome") == "result":
        completed.result.CopyFrom(response.result)
    else:
        completed.error.CopyFrom(response.error)
    return completed


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
