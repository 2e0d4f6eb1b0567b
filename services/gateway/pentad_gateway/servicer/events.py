"""Topics and triggers, on the wire."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from pentad.gateway.v1 import event_service_pb2 as pb
from pentad.gateway.v1 import event_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context, caller
from pentad_gateway.events import EventCore


class EventServicer(pb_grpc.EventServiceServicer):
    """EventService over its core."""

    def __init__(self, core: EventCore) -> None:
        self._core = core

    async def PublishEvent(
        self, request: pb.PublishEventRequest, context: Context
    ) -> pb.PublishEventResponse:
        event = await self._core.publish_event(caller().tenant, request)
        return pb.PublishEventResponse(event=event)

    async def SubscribeTopic(
        self, request: pb.SubscribeTopicRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeTopicResponse]:
        async with aclosing(self._core.subscribe_topic(caller().tenant, request)) as batches:
            async for batch in batches:
                yield pb.SubscribeTopicResponse(events=batch.events, cursor=batch.cursor)

    async def ListTopics(
        self, request: pb.ListTopicsRequest, context: Context
    ) -> pb.ListTopicsResponse:
        page = await self._core.list_topics(caller().tenant, request)
        return pb.ListTopicsResponse(topics=page.topics, next_page_token=page.next_page_token)

    async def CreateTrigger(
        self, request: pb.CreateTriggerRequest, context: Context
    ) -> pb.CreateTriggerResponse:
        trigger = await self._core.create_trigger(caller().tenant, request)
        return pb.CreateTriggerResponse(trigger=trigger)

    async def GetTrigger(
        self, request: pb.GetTriggerRequest, context: Context
    ) -> pb.GetTriggerResponse:
        return pb.GetTriggerResponse(trigger=await self._core.get_trigger(caller().tenant, request))

    async def ListTriggers(
        self, request: pb.ListTriggersRequest, context: Context
    ) -> pb.ListTriggersResponse:
        page = await self._core.list_triggers(caller().tenant, request)
        return pb.ListTriggersResponse(triggers=page.triggers, next_page_token=page.next_page_token)

    async def DeleteTrigger(
        self, request: pb.DeleteTriggerRequest, context: Context
    ) -> pb.DeleteTriggerResponse:
        await self._core.delete_trigger(caller().tenant, request)
        return pb.DeleteTriggerResponse()
