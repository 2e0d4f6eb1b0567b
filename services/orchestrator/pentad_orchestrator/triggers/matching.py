"""Whether an event starts a run, and what that is asked. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pentad.state.v1.run_pb2 import RunSpec
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad.state.v1.trigger_pb2 import Trigger
from pentad_chassis.conditions import ConditionUndecided, Kind, compiled

NAMES = (("event", Kind.ANYTHING), ("attributes", Kind.ANYTHING), ("topic", Kind.TEXT))
"""What a trigger's condition may speak of."""

INPUT_BYTES_MAX = 256 * 1024

_PLACEHOLDER = re.compile(r"\{(event|attributes|topic)((?:\.[A-Za-z0-9_-]+)*)\}")


class InputTooLarge(ValueError):
    """With the event in it, an input is larger than one may be."""


def holds(trigger: Trigger, event: TopicEvent) -> bool:
    """Whether the event is one to start a run for; not, if that cannot be said."""
    if not trigger.condition:
        return True
    try:
        return compiled(trigger.condition, NAMES).holds(_values(event))
    except ConditionUndecided:
        return False


def spec_for(trigger: Trigger, event: TopicEvent) -> RunSpec:
    """Return what the event's run is asked, or raise InputTooLarge."""
    spec = RunSpec()
    spec.CopyFrom(trigger.spec)
    values = _values(event)
    spec.input = _filled(spec.input, values, event)
    for step in spec.multi_step.steps if spec.HasField("multi_step") else ():
        step.input = _filled(step.input, values, event)
    return spec


def _values(event: TopicEvent) -> dict[str, Any]:
    return {
        "event": _content(event),
        "attributes": dict(event.attributes),
        "topic": event.topic,
    }


def _content(event: TopicEvent) -> Any:
    text = event.payload.text
    if "json" not in event.payload.content_type:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _filled(template: str, values: Mapping[str, Any], event: TopicEvent) -> str:
    pieces: list[str] = []
    room, end = INPUT_BYTES_MAX, 0
    for found in _PLACEHOLDER.finditer(template):
        pieces += (template[end : found.start()], _said(found, values, event))
        end = found.end()
        room -= len(pieces[-1].encode()) + len(pieces[-2].encode())
        if room < 0:
            break
    pieces.append(template[end:])
    if room < len(pieces[-1].encode()):
        raise InputTooLarge
    return "".join(pieces)


def _said(found: re.Match[str], values: Mapping[str, Any], event: TopicEvent) -> str:
    name, path = found[1], found[2].split(".")[1:]
    if name == "event" and not path:
        return event.payload.text  # as it was published, to the letter
    value: Any = values[name]
    for part in path:
        value = _part(value, part)
    match value:
        case None:
            return ""
        case str():
            return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _part(value: Any, name: str) -> Any:
    match value:
        case dict():
            return value.get(name)
        case list() if name.isdecimal() and len(name) < len(str(len(value))) + 1:
            return value[int(name)] if int(name) < len(value) else None
    return None
