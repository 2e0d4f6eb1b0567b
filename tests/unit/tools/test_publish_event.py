"""Publishing from a run: once for each call, however often that is made."""

from dataclasses import replace

import pytest

from pentad.state.v1.topic_pb2 import TopicEvent
from pentad_chassis.errors import InvalidArgument
from pentad_tools.builtin.publish import publish_event
from pentad_tools.tool import Effect, ToolContext, ToolFailed


async def test_an_event_is_published_under_the_id_of_its_call(context: ToolContext) -> None:
    said: list[TopicEvent] = []

    async def publish(event: TopicEvent) -> int:
        said.append(event)
        return 7

    published = await publish_event("orders", '{"n": 1}', replace(context, publish=publish))
    await publish_event("orders", "hello", replace(context, publish=publish))

    assert (published.topic, published.seq) == ("orders", 7)
    assert [event.publish_id for event in said] == [context.idempotency_key] * 2
    assert [event.payload.content_type for event in said] == ["application/json", "text/plain"]
    assert [event.payload.text for event in said] == ['{"n": 1}', "hello"]
    assert publish_event.effect is Effect.IDEMPOTENT


async def test_a_refusal_is_told_to_the_model(context: ToolContext) -> None:
    async def publish(event: TopicEvent) -> int:
        raise InvalidArgument(f"no room in {event.topic}")

    with pytest.raises(ToolFailed, match="no room in orders"):
        await publish_event("orders", "hello", replace(context, publish=publish))
    with pytest.raises(ToolFailed, match="nowhere"):
        await publish_event("orders", "hello", replace(context, publish=None))
