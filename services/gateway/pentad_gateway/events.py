"""Topics and triggers of the caller's tenant; the same rules as in `core`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from pentad.gateway.v1 import event_service_pb2 as pb
from pentad.orchestrator.v1 import trigger_service_pb2 as orchestrator_pb
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad.state.v1.topic_service_pb2 import (
    ListTopicsRequest,
    ListTopicsResponse,
    PublishEventRequest,
    TailTopicRequest,
    TailTopicResponse,
)
from pentad.state.v1.trigger_pb2 import Trigger
from pentad_chassis.channel import Stream
from pentad_chassis.clock import Clock, random_id
from pentad_gateway import validation
from pentad_gateway.errors import require
from pentad_gateway.tail import STREAM_TIMEOUT_S, resuming

if TYPE_CHECKING:
    from pentad.orchestrator.v1.trigger_service_pb2_grpc import TriggerServiceAsyncStub
    from pentad.state.v1.topic_service_pb2_grpc import TopicServiceAsyncStub


class EventCore:
    """Topics are kept by the state service, triggers by the orchestrator."""

    def __init__(
        self,
        topics: "TopicServiceAsyncStub",
        triggers: "TriggerServiceAsyncStub",
        clock: Clock,
    ) -> None:
        self._topics = topics
        self._triggers = triggers
        self._clock = clock

    async def publish_event(self, tenant: str, request: pb.PublishEventRequest) -> TopicEvent:
        """Add an event to a topic."""
        require(validation.publish_event(request))
        event = TopicEvent(
            topic=request.topic,
            publish_id=request.publish_id or random_id(),
            payload=request.payload,
            attributes=request.attributes,
        )
        response = await self._topics.PublishEvent(PublishEventRequest(tenant=tenant, event=event))
        return response.event

    async def subscribe_topic(
        self, tenant: str, request: pb.SubscribeTopicRequest
    ) -> AsyncGenerator[TailTopicResponse, None]:
        """Yield a topic's events behind a cursor, several at once, for ever."""
        require(validation.subscribe_topic(request))
        place = TailTopicRequest(
            tenant=tenant,
            topic=request.topic,
            after=request.after,
            from_beginning=request.from_beginning,
        )

        def go_on(said: TailTopicResponse) -> None:
            place.after = said.cursor

        def begin() -> Stream[TailTopicResponse]:
            return self._topics.TailTopic(place, timeout=STREAM_TIMEOUT_S)

        async with aclosing(resuming(begin, go_on, self._clock)) as responses:
            async for response in responses:
                yield response

    async def list_topics(self, tenant: str, request: pb.ListTopicsRequest) -> ListTopicsResponse:
        """Return a page of topics."""
        require(validation.list_topics(request))
        return await self._topics.ListTopics(
            ListTopicsRequest(
                tenant=tenant, page_size=request.page_size, page_token=request.page_token
            )
        )

    async def create_trigger(self, tenant: str, request: pb.CreateTriggerRequest) -> Trigger:
        """Have a trigger recorded."""
        # In a thread: a condition takes a while to be compiled.
        require(await asyncio.to_thread(validation.create_trigger, request))
        response = await self._triggers.CreateTrigger(
            orchestrator_pb.CreateTriggerRequest(
                tenant=tenant,
                trigger=request.trigger,
                request_id=request.request_id or random_id(),
            )
        )
        return response.trigger

    async def get_trigger(self, tenant: str, request: pb.GetTriggerRequest) -> Trigger:
        """Return a trigger."""
        require(validation.name_trigger(request))
        response = await self._triggers.GetTrigger(
            orchestrator_pb.GetTriggerRequest(tenant=tenant, name=request.name)
        )
        return response.trigger

    async def list_triggers(
        self, tenant: str, request: pb.ListTriggersRequest
    ) -> orchestrator_pb.ListTriggersResponse:
        """Return a page of triggers."""
        require(validation.list_triggers(request))
        return await self._triggers.ListTriggers(
            orchestrator_pb.ListTriggersRequest(
                tenant=tenant, page_size=request.page_size, page_token=request.page_token
            )
        )

    async def delete_trigger(self, tenant: str, request: pb.DeleteTriggerRequest) -> None:
        """Have a trigger forgotten."""
        require(validation.name_trigger(request))
        await self._triggers.DeleteTrigger(
            orchestrator_pb.DeleteTriggerRequest(tenant=tenant, name=request.name)
        )
