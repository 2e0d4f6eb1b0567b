"""A topic's events without gap or repeat, also across a gateway that comes and goes."""

import asyncio
from collections.abc import AsyncGenerator

from pentad.gateway.v1.event_service_pb2 import SubscribeTopicRequest
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad_chassis.channel import reading
from pentad_chassis.errors import DeadlineExceeded, ServiceError
from pentad_cli.connection import Client
from pentad_cli.persist import may_pass

_STREAM_S = 3600.0
_RECONNECTS = 60
"""Attempts in a row without a word; about a minute, enough for a restart of the suite."""

_PAUSE_S = 1.0
_FIRST_PAUSE_S = 0.1


async def subscribe(
    client: Client, wanted: SubscribeTopicRequest
) -> AsyncGenerator[TopicEvent, None]:
    """Yield a topic's events for ever; a suite that never answered is not waited for."""
    place = SubscribeTopicRequest()
    place.CopyFrom(wanted)
    failures = 0
    while True:
        asked_s = 0.0
        try:
            async with reading(client.events.SubscribeTopic(place, timeout=_STREAM_S)) as responses:
                async for response in responses:
                    failures = 0
                    place.after, place.from_beginning = response.cursor, False
                    for event in response.events:
                        yield event
            # A stream that ends is one that the gateway closed to drain.
        except ServiceError as error:
            again = may_pass(error) or isinstance(error, DeadlineExceeded)
            if not again or not place.after or failures + 1 >= _RECONNECTS:
                raise
            asked_s = error.retry_after_s or 0.0
        failures += 1
        await asyncio.sleep(max(asked_s, min(failures * _FIRST_PAUSE_S, _PAUSE_S)))
