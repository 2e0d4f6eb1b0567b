"""Telling others: an event under a topic, which they follow or which starts their runs."""

import json
from typing import Annotated

from pydantic import BaseModel, Field

from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad_chassis.errors import ServiceError
from pentad_tools.tool import Effect, ToolContext, ToolFailed, tool

EVENT_CHARACTERS_MAX = 16 * 1024
"""In UTF-8 no more than an event may have."""


class Published(BaseModel):
    """What `publish_event` returns."""

    topic: str
    seq: int
    """Place of the event in the topic."""


@tool(effect=Effect.IDEMPOTENT, timeout_s=10)
async def publish_event(
    topic: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$", description="Name of the topic"),
    ],
    event: Annotated[
        str, Field(max_length=EVENT_CHARACTERS_MAX, description="What to say: JSON, or text")
    ],
    context: ToolContext,
) -> Published:
    """Publish an event under a topic, for other agents and programs that follow it."""
    if context.publish is None:
        raise ToolFailed("there is nowhere to publish to")
    said = TopicEvent(
        topic=topic,
        publish_id=context.idempotency_key,
        payload=Payload(content_type=_kind(event), text=event),
    )
    try:
        seq = await context.publish(said)
    except ServiceError as error:
        raise ToolFailed(error.message) from None
    return Published(topic=topic, seq=seq)


def _kind(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "text/plain"
    return "application/json"
