"""What the tools service does: shows the catalogue, and runs one call at a time."""

import asyncio
import time
from collections.abc import Callable

from pentad.state.v1.effect_service_pb2 import EffectKey
from pentad.state.v1.message_pb2 import Payload
from pentad.tools.v1.tools_service_pb2 import InvokeToolRequest, InvokeToolResponse
from pentad_chassis import semconv
from pentad_chassis.calls import remaining_s
from pentad_chassis.errors import ServiceError
from pentad_chassis.telemetry import Telemetry, fail
from pentad_tools import outcome
from pentad_tools.attempt import Attempts, InProgress, response
from pentad_tools.call import Call, fingerprint
from pentad_tools.catalogue import Catalogue
from pentad_tools.errors import CallInProgress, ToolNotFound
from pentad_tools.metrics import OK, UNKNOWN_TOOL, CallMetrics
from pentad_tools.outcome import Reason
from pentad_tools.parameters import ArgumentsInvalid
from pentad_tools.tool import AnyTool, ToolContext

ARGUMENTS_BYTES_MAX = 256 * 1024

_PATIENCE_S = 10.0
"""How long to wait for another runner when the caller set no deadline."""

_LAST_ATTEMPT_S = 0.5
"""Left of the caller's time for one more attempt after a wait."""

_RETRY_AFTER_S_MIN = 0.05


class ToolsCore:
    """Methods mirror the RPCs."""

    def __init__(
        self,
        catalogue: Catalogue,
        attempts: Attempts,
        context: Callable[[str, str], ToolContext],
        telemetry: Telemetry,
        metrics: CallMetrics,
    ) -> None:
        self._catalogue = catalogue
        self._attempts = attempts
        self._context = context
        self._telemetry = telemetry
        self._metrics = metrics

    def list_tools(self) -> list[AnyTool]:
        """Return the catalogue by name."""
        return list(self._catalogue)

    def get_tool(self, name: str) -> AnyTool:
        """Return one tool, or raise ToolNotFound."""
        tool = self._catalogue.find(name)
        if tool is None:
            raise ToolNotFound(name)
        return tool

    async def invoke_tool(self, request: InvokeToolRequest) -> InvokeToolResponse:
        """Run one call, or return what an earlier attempt at it recorded."""
        attributes = {
            semconv.GEN_AI_OPERATION_NAME: semconv.OPERATION_EXECUTE_TOOL,
            semconv.GEN_AI_TOOL_NAME: request.tool,
            semconv.GEN_AI_TOOL_TYPE: "function",
            semconv.GEN_AI_TOOL_CALL_ID: request.call_id,
            semconv.PENTAD_RUN_ID: request.run_id,
            semconv.PENTAD_TENANT: request.tenant,
        }
        with self._telemetry.span(f"execute_tool {request.tool}", attributes=attributes) as span:
            answer = await self._counted(request)
            span.set_attribute(semconv.PENTAD_REPLAYED, answer.replayed)
            if answer.HasField("error"):
                fail(span, answer.error.reason)
            return answer

    async def _counted(self, request: InvokeToolRequest) -> InvokeToolResponse:
        begun = time.monotonic()
        known = self._catalogue.find(request.tool) is not None
        ended, replayed = "CANCELLED", False
        try:
            answer = await self._invoke(request)
            ended, replayed = answer.error.reason or OK, answer.replayed
        except ServiceError as error:
            ended = error.reason
            raise
        except Exception:
            ended = "INTERNAL"
            raise
        finally:
            tool = request.tool if known else UNKNOWN_TOOL
            self._metrics.ended(tool, ended, time.monotonic() - begun, replayed=replayed)
        return answer

    async def _invoke(self, request: InvokeToolRequest) -> InvokeToolResponse:
        tool = self._catalogue.find(request.tool)
        if tool is None:
            names = ", ".join(known.name for known in self._catalogue)
            message = f"there is no tool {request.tool!r}; there are: {names}"
            return response(outcome.failure(Reason.TOOL_NOT_FOUND, message))
        try:
            call = self._call(tool, request)
        except ArgumentsInvalid as invalid:
            return response(outcome.failure(Reason.TOOL_ARGUMENTS_INVALID, str(invalid)))
        return await self._settle(call, request.not_done_up_to)

    def _call(self, tool: AnyTool, request: InvokeToolRequest) -> Call:
        """Return the call, or raise ArgumentsInvalid."""
        text = _json(request.arguments)
        arguments = tool.parameters.parse(text)
        if tool.parameters.context_name is not None:
            arguments[tool.parameters.context_name] = self._context(
                request.tenant, f"{request.run_id}/{request.call_id}"
            )
        key = EffectKey(run_id=request.run_id, call_id=request.call_id)
        return Call(tool, arguments, key, fingerprint(tool.name, text))

    async def _settle(self, call: Call, not_done_up_to: int) -> InvokeToolResponse:
        """Make attempts while another runner is at the call and the caller has time."""
        now = asyncio.get_running_loop().time
        left = remaining_s()
        until = now() + (_PATIENCE_S if left is None else left) - _LAST_ATTEMPT_S
        while True:
            answer = await self._attempts.make(call, not_done_up_to)
            if not isinstance(answer, InProgress):
                return answer
            pause = max(answer.retry_after_s, _RETRY_AFTER_S_MIN)
            if now() + pause > until:
                raise CallInProgress(call.key.run_id, call.key.call_id, pause)
            await asyncio.sleep(pause)


def _json(arguments: Payload) -> str:
    if arguments.HasField("binary"):
        raise ArgumentsInvalid("arguments: must be a JSON object, and are binary")
    if len(arguments.text) > ARGUMENTS_BYTES_MAX:
        raise ArgumentsInvalid(f"arguments: at most {ARGUMENTS_BYTES_MAX} characters")
    return arguments.text or "{}"  # models that have nothing to say send nothing
