"""What a graph's expressions speak of, and what they come to. Pure."""

import json
from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Failure
from pentad.state.v1.workflow_pb2 import (
    AgentWork,
    ApprovalWork,
    MapWork,
    Node,
    SleepWork,
    SubWorkflow,
    ToolWork,
)
from pentad_chassis.conditions import ConditionInvalid, ConditionUndecided, Kind, Names
from pentad_chassis.workflows.expressions import (
    BINDING,
    COMPENSATION,
    ITEM,
    Json,
    expression,
    variable,
)
from pentad_chassis.workflows.shape import Shape
from pentad_chassis.workflows.templates import as_json, as_text, render, template
from pentad_orchestrator.graph.state import Standing

Work = AgentWork | ToolWork | ApprovalWork | SleepWork | MapWork | SubWorkflow

EXPRESSION_FAILED = "EXPRESSION_FAILED"
PAYLOAD_BYTES_MAX = 256 * 1024
ITEMS_MAX = 1000
SLEEP_S_MAX = 30 * 24 * 3600.0
_JSON = "application/json"
_TEXT = "text/plain"


class NoValue(Exception):
    """What was written gives nothing that can be worked on; says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def beginning(shape: Shape, text: str) -> Mapping[str, Json]:
    """Return what expressions may speak of before anything is done."""
    idle = {variable(node): of_node(Standing.IDLE) for node in shape.nodes}
    return {"input": as_json(text), **idle}


def of_node(standing: Standing, text: str | None = None, before: Json = None) -> Json:
    """Return what expressions see of a node: what it gave last stays until it gives something."""
    if text is not None:
        return {"output": as_json(text), "text": text, "state": standing.value}
    seen = before or {"output": None, "text": ""}
    return {**seen, "state": standing.value}


def work_of(node: Node, *, item: bool, undo: bool) -> Work:
    """Return what is to be done for a node, for an item of its map, or to take it back."""
    if undo:
        return (
            node.compensation.agent
            if node.compensation.HasField("agent")
            else node.compensation.tool
        )
    kind = node.map.WhichOneof("body") if item else node.WhichOneof("work")
    assert kind is not None, "something is to be done"
    work: Work = getattr(node.map if item else node, kind)
    return work


def given(work: Work, names: Names, values: Mapping[str, Json], now_s: float) -> Payload:
    """Return what a piece of work begins with; raise NoValue where it has nothing."""
    try:
        return bounded(_given(work, names, values, now_s))
    except (ConditionInvalid, ConditionUndecided) as error:
        raise NoValue(failed(str(error))) from None


def bound(node: Node, shape: Shape, values: Mapping[str, Json], output: Payload) -> Payload:
    """Return a node's output as its expression makes it; raise NoValue where it has none."""
    if not node.output:
        return output
    names = (*shape.names, *((name, Kind.ANYTHING) for name in BINDING))
    try:
        value = expression(node.output, names).value({**values, "output": as_json(text_of(output))})
    except (ConditionInvalid, ConditionUndecided) as error:
        raise NoValue(failed(f"output: {error}")) from None
    return bounded(to_payload(value))


def names_for(shape: Shape, *, item: bool, undo: bool) -> Names:
    """Return what the templates of a piece of work may speak of."""
    more = (*(COMPENSATION if undo else ()), *(ITEM if item else ()))
    return (*shape.names, *((name, Kind.ANYTHING) for name in more))


def to_payload(value: Json) -> Payload:
    """Return a value as what is carried: a text as such, all else as JSON."""
    content_type = _TEXT if isinstance(value, str) else _JSON
    return Payload(content_type=content_type, text=as_text(value))


def text_of(payload: Payload) -> str:
    """Return what was carried as text; of other bytes how many there are."""
    if payload.WhichOneof("body") == "binary":
        return f"({len(payload.binary)} bytes of {payload.content_type})"
    return payload.text


def failed(message: str) -> Failure:
    """Return the failure of an expression."""
    return Failure(reason=EXPRESSION_FAILED, message=message)


def _given(work: Work, names: Names, values: Mapping[str, Json], now_s: float) -> Payload:
    match work:
        case AgentWork():
            asked = template(work.input, names).text(values)
            if not asked.strip():
                raise NoValue(failed("input: came to nothing"))
            return Payload(content_type=_TEXT, text=asked)
        case SubWorkflow():
            return Payload(content_type=_TEXT, text=template(work.input, names).text(values))
        case ToolWork():
            arguments = render(work.arguments, names, values)
            return Payload(content_type=_JSON, text=as_text(arguments))
        case ApprovalWork():
            shown = expression(work.show, names).value(values) if work.show else None
            asked = template(work.question, names).text(values)
            return to_payload({"question": asked, "show": shown})
        case SleepWork():
            return Payload(content_type=_TEXT, text=_until(work, names, values, now_s))
        case MapWork():
            return _listed(expression(work.over, names).value(values))


def _until(work: SleepWork, names: Names, values: Mapping[str, Json], now_s: float) -> str:
    """Return the time until which it sleeps, in RFC 3339."""
    time = Timestamp()
    if work.WhichOneof("wait") == "duration":
        time.FromNanoseconds(int(now_s * 1e9) + work.duration.ToNanoseconds())
    else:
        try:
            time.FromJsonString(template(work.until, names).text(values))
        except ValueError:
            raise NoValue(failed("until: is no time as in RFC 3339")) from None
    if time.ToNanoseconds() / 1e9 - now_s > SLEEP_S_MAX:
        raise NoValue(failed("until: is more than 30 days ahead"))
    return time.ToJsonString()


def _listed(value: Json) -> Payload:
    if not isinstance(value, list):
        raise NoValue(failed("over: is no list"))
    if len(value) > ITEMS_MAX:
        raise NoValue(failed(f"over: has {len(value)} items, more than {ITEMS_MAX}"))
    return to_payload(value)


def items_of(payload: Payload) -> tuple[Json, ...]:
    """Return the list that a map is made over."""
    return tuple(json.loads(payload.text))


def bounded(payload: Payload) -> Payload:
    """Return what is carried if it is small enough, or raise NoValue."""
    if payload.ByteSize() > PAYLOAD_BYTES_MAX:
        size = PAYLOAD_BYTES_MAX // 1024
        raise NoValue(Failure(reason="PAYLOAD_TOO_LARGE", message=f"came to more than {size} KiB"))
    return payload
