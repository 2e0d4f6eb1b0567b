"""The offline model: the agent's rules decide, with no network, no chance and no understanding.

It is no language model. Each turn is a pure function of the request: which rules have fired is
read from the step's messages, for a rule's call carries the rule's name as `model_call_id`.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from pentad.executor.v1.executor_service_pb2 import ExecuteTurnRequest, TurnResult
from pentad.state.v1.budget_service_pb2 import Price
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall, Usage
from pentad_executor.errors import RulesInvalid
from pentad_executor.models import Call
from pentad_executor.program import Line, read
from pentad_executor.template import (
    Json,
    Path,
    TemplateError,
    as_text,
    descend,
    fill,
    fill_text,
    from_json,
    to_json,
)

_INLINE_WORK_MAX = 16 * 1024
"""Bytes of input times patterns that are searched on the event loop; RE2 releases the
interpreter's lock, so that more goes to a thread."""

_FILLED_CHARS_MAX = 1024 * 1024
"""A placeholder may stand for 256 KiB, and a rule may name it a thousand times."""


class RulesModel:
    """Follows the rules of whichever agent asks."""

    async def stream(
        self, name: str, turn: ExecuteTurnRequest, call: Call
    ) -> AsyncGenerator[str | TurnResult, None]:
        """Yield the turn, whose answer is there at once; it consumes no tokens."""
        patterns = sum(bool(rule.input_pattern) for rule in turn.agent.rules)
        if len(turn.input) * patterns > _INLINE_WORK_MAX:
            message = await asyncio.to_thread(decide, turn)
        else:
            message = decide(turn)
        yield TurnResult(message=message, usage=Usage(cost_nano_usd=0), model=name)

    def weigh(self, name: str, turn: ExecuteTurnRequest) -> int:
        """Return 0: nothing is sent anywhere."""
        return 0

    def price(self, name: str, input_tokens: int, output_tokens: int) -> Price | None:
        """Return that it costs nothing."""
        return Price()


def decide(turn: ExecuteTurnRequest) -> Message:
    """Return what the first rule that holds and has not fired in this step says."""
    program = read(turn.agent)
    step = _Step(turn)
    for line in program:
        if line.name not in step.fired and step.allows(line):
            found = line.pattern.search(turn.input) if line.pattern else None
            if found or not line.pattern:
                return _act(line, _Values(step, found))
    raise RulesInvalid(f"no rule holds now; {step}. Add a rule that answers in this case")


class _Step:
    """What happened in the step so far."""

    def __init__(self, turn: ExecuteTurnRequest) -> None:
        self.input = turn.input
        self.outputs = {step.step: step.output for step in turn.earlier_steps}
        self.fired = [call.model_call_id for m in turn.messages for call in m.tool_calls]
        ended = [m for m in turn.messages if m.role == Message.ROLE_TOOL]
        self.failed = {m.model_call_id for m in ended if m.failed}
        self.results = {m.model_call_id: m.text for m in ended}

    def allows(self, line: Line) -> bool:
        """Whether the calls that the rule waits for have ended as it demands."""
        succeeded = self.results.keys() - self.failed
        return line.after <= succeeded and (
            not line.after_failure or line.after_failure in self.failed
        )

    def __str__(self) -> str:
        ends = [f"{name} failed" if name in self.failed else name for name in self.fired]
        return f"fired so far: {', '.join(ends) or 'none'}"


class _Values:
    """What a rule's placeholders stand for; together they are bounded."""

    def __init__(self, step: _Step, found: Any) -> None:
        self._step = step
        self._found = found
        self._parsed: dict[str, Json] = {}
        self._room = _FILLED_CHARS_MAX

    def __call__(self, path: Path) -> Json:
        value = self._value(path)
        self._room -= len(as_text(value))
        if self._room < 0:
            raise TemplateError(f"its placeholders make more than {_FILLED_CHARS_MAX} characters")
        return value

    def _value(self, path: Path) -> Json:
        match path:
            case ("input",):
                return self._step.input
            case ("input", group):
                return str(self._found[group] or "")
            case ("steps", name):
                if name not in self._step.outputs:
                    raise TemplateError(f"no step {name!r} came before this one")
                return self._step.outputs[name]
            case _:
                return self._result(path[0], path[1:])

    def _result(self, name: str, path: Path) -> Json:
        if name not in self._step.results:
            raise TemplateError(f"{name!r} has no result yet; name it in `after`")
        if name not in self._parsed:
            self._parsed[name] = from_json(self._step.results[name])
        try:
            return descend(self._parsed[name], path)
        except TemplateError as error:
            raise TemplateError(f"the result of {name!r} has {error}") from None


def _act(line: Line, values: _Values) -> Message:
    try:
        if not line.tool:
            return Message(role=Message.ROLE_ASSISTANT, text=_answer(line, values))
        arguments = to_json(fill(line.arguments, values))
    except TemplateError as error:
        raise RulesInvalid(str(error), line.name) from None
    call = ToolCall(
        tool=line.tool,
        arguments=Payload(content_type="application/json", text=arguments),
        model_call_id=line.name,
    )
    return Message(role=Message.ROLE_ASSISTANT, tool_calls=[call])


def _answer(line: Line, values: _Values) -> str:
    text = fill_text(line.answer, values)
    if not text.strip():
        raise TemplateError("its answer came out empty")
    return text
