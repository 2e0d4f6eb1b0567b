"""Topics, on the wire."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pentad.state.v1 import topic_service_pb2 as pb
from pentad.state.v1 import topic_service_pb2_grpc as pb_grpc
from pentad.state.v1.job_pb2 import RunTrigger
from pentad_chassis.server import Context
from pentad_state.core import StateCore
from pentad_state.topics import to_place


class TopicServicer(pb_grpc.TopicServiceServicer):
    """Topics."""

    def __init__(self, core: StateCore) -> None:
        self._topics = core.topics

    async def PublishEvent(
        self, request: pb.PublishEventRequest, context: Context
    ) -> pb.PublishEventResponse:
        event, added = await self._topics.publish(request.tenant, request.event)
        return pb.PublishEventResponse(event=event, added=added)

    async def ReadTopic(
        self, request: pb.ReadTopicRequest, context: Context
    ) -> pb.ReadTopicResponse:
        after = to_place(request.tenant, request.topic, request.after, request.after_seq)
        reading = await self._topics.read(
            request.tenant, request.topic, after, request.limit, request.wait
        )
        return pb.ReadTopicResponse(
            events=reading.events, cursor=reading.cursor, last_seq=reading.last_seq
        )

    async def TailTopic(
        self, request: pb.TailTopicRequest, context: Context
    ) -> AsyncGenerator[pb.TailTopicResponse, None]:
        tail = self._topics.tail(
            request.tenant, request.topic, request.after, from_beginning=request.from_beginning
        )
        async with aclosing(tail) as readings:
            async for reading in readings:
                yield pb.TailTopicResponse(events=reading.events, cursor=reading.cursor)

    async def ListTopics(
        self, request: pb.ListTopicsRequest, context: Context
    ) -> pb.ListTopicsResponse:
        topics, token = await self._topics.list_topics(
            request.tenant, request.page_size, request.page_token
        )
        return pb.ListTopicsResponse(topics=topics, next_page_token=token)

    async def AttachTrigger(
        self, request: pb.AttachTriggerRequest, context: Context
    ) -> pb.AttachTriggerResponse:
        trigger = _trigger(request)
        await self._topics.attach(
            request.tenant, request.topic, trigger, from_beginning=request.from_beginning
        )
        return pb.AttachTriggerResponse()

    async def DetachTrigger(
        self, request: pb.DetachTriggerRequest, context: Context
    ) -> pb.DetachTriggerResponse:
        await self._topics.detach(request.tenant, request.topic, _trigger(request))
        return pb.DetachTriggerResponse()


def _trigger(request: pb.AttachTriggerRequest | pb.DetachTriggerRequest) -> RunTrigger:
    return RunTrigger(trigger=request.trigger, topic=request.topic, generation=request.generation)
