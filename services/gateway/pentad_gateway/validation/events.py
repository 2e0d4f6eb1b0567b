"""Requests about topics and triggers."""

from pentad.gateway.v1.event_service_pb2 import (
    CreateTriggerRequest,
    DeleteTriggerRequest,
    GetTriggerRequest,
    ListTopicsRequest,
    ListTriggersRequest,
    PublishEventRequest,
    SubscribeTopicRequest,
)
from pentad.state.v1.trigger_pb2 import Trigger
from pentad_chassis.conditions import ConditionInvalid, Kind, compiled
from pentad_chassis.errors import FieldViolation
from pentad_gateway.validation.bounds import (
    AGENT_NAME,
    CURSOR_BYTES,
    KIB,
    REQUEST_ID_BYTES,
    Bounds,
)
from pentad_gateway.validation.runs import PRIORITY, check_spec

TOPIC_NAME = r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}"
TRIGGER_NAME = AGENT_NAME
PAYLOAD_BYTES = 64 * KIB
ATTRIBUTES = 32
ATTRIBUTE_KEY_BYTES = 64
ATTRIBUTE_BYTES = KIB
CONDITION_BYTES = 4 * KIB
TRIGGER_BYTES = 128 * KIB

_NAMES = (("event", Kind.ANYTHING), ("attributes", Kind.ANYTHING), ("topic", Kind.TEXT))


def publish_event(request: PublishEventRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("topic", request.topic, TOPIC_NAME)
    bounds.text("publish_id", request.publish_id, REQUEST_ID_BYTES)
    bounds.whole("payload", request.payload, PAYLOAD_BYTES)
    if request.payload.WhichOneof("body") is None:
        bounds.broken("payload", "must have a body")
    bounds.count("attributes", len(request.attributes), ATTRIBUTES)
    for key in sorted(request.attributes)[:ATTRIBUTES]:
        bounds.filled("attributes", key, ATTRIBUTE_KEY_BYTES)
        bounds.text("attributes", request.attributes[key], ATTRIBUTE_BYTES)
    return bounds.violations


def subscribe_topic(request: SubscribeTopicRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("topic", request.topic, TOPIC_NAME)
    bounds.text("after", request.after, CURSOR_BYTES)
    if request.after and request.from_beginning:
        bounds.broken("from_beginning", "must be unset where there is a cursor")
    return bounds.violations


def list_topics(request: ListTopicsRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.page(request)
    return bounds.violations


def create_trigger(request: CreateTriggerRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    if request.HasField("trigger"):
        _trigger(bounds, request.trigger)
    else:
        bounds.broken("trigger", "must be set")
    bounds.request_id(request.request_id)
    return bounds.violations


def name_trigger(request: GetTriggerRequest | DeleteTriggerRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, TRIGGER_NAME)
    return bounds.violations


def list_triggers(request: ListTriggersRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.page(request)
    return bounds.violations


def _trigger(bounds: Bounds, trigger: Trigger) -> None:
    if not bounds.whole("trigger", trigger, TRIGGER_BYTES):
        return
    bounds.name("trigger.name", trigger.name, TRIGGER_NAME)
    bounds.name("trigger.topic", trigger.topic, TOPIC_NAME)
    _condition(bounds, "trigger.condition", trigger.condition)
    inner = Bounds()
    check_spec(inner, trigger.spec)
    inner.within("spec.priority", trigger.spec.priority, PRIORITY, -PRIORITY)
    if trigger.spec.HasField("start_time"):
        inner.broken("spec.start_time", "must be unset: runs start with the topic's events")
    for violation in inner.violations:
        bounds.broken(f"trigger.{violation.field}", violation.description)


def _condition(bounds: Bounds, field: str, condition: str) -> None:
    if len(condition.encode()) > CONDITION_BYTES:
        bounds.text(field, condition, CONDITION_BYTES)
        return
    if not condition:
        return
    try:
        compiled(condition, _NAMES)
    except ConditionInvalid as invalid:
        bounds.broken(field, f"must be a condition over `event`, `attributes`, `topic`: {invalid}")
