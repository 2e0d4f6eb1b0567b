"""Topics: logs of what is published, of bounded length, each in the partition of its place."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.job_pb2 import Job, Queue, RunTrigger
from pentad.state.v1.topic_pb2 import Topic, TopicEvent
from pentad_chassis.clock import Clock
from pentad_state.bounds import KIB, check_count, check_name, check_size
from pentad_state.config import Config
from pentad_state.cursor import Position, from_cursor, to_cursor
from pentad_state.errors import CursorExpired, InvalidCursor, TopicTriggersFull
from pentad_state.jobs import job_keys, job_values
from pentad_state.journal import STAMP, TAG, tag_of, to_time
from pentad_state.pages import SCANS_MAX, Page, by_name
from pentad_state.partitions import key, partition_of
from pentad_state.store import Store, script
from pentad_state.subscribers import LOOK_S, Subscribers
from pentad_state.waiting import wait_for

EVENT_BYTES = 64 * KIB
_LOG_BYTES = 64 * KIB * KIB
_ATTRIBUTES_MAX = 32
_ATTRIBUTE_KEY_BYTES = 64
_ATTRIBUTE_BYTES = KIB
_TRIGGERS_MAX = 100
_READ, _READ_MAX = 100, 1000
_READ_BYTES = 1024 * KIB
_WAIT_S_MAX = 30.0

_END = None
"""As a place to read from: behind the last event."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a topic holds behind a place."""

    events: Sequence[TopicEvent]
    cursor: str
    """Behind them."""
    last_seq: int


class Topics:
    """Every method is one atomic step of the store, lists and waiting aside."""

    def __init__(
        self, store: Store, config: Config, subscribers: Subscribers, clock: Clock
    ) -> None:
        self._store = store
        self._subscribers = subscribers
        self._clock = clock
        self._live_ms = int(config.topic_retention_s * 1000)
        self._events_max = config.topic_events_max

    async def publish(self, tenant: str, event: TopicEvent) -> tuple[TopicEvent, bool]:
        """Add an event; return it as it is kept, and whether the topic did not have it."""
        check_name("tenant", tenant)
        check_name("event.topic", event.topic)
        check_name("event.publish_id", event.publish_id)
        _check_content(event)
        content = TopicEvent(
            publish_id=event.publish_id, payload=event.payload, attributes=event.attributes
        )
        place = place_of(tenant, event.topic)
        verdict, created_ms, seq, kept = await self._store.run(
            script("topic_publish"),
            [
                _key(place, "topic"), _key(place, "topic-log"), _key(place, "topic-tags"),
                _key(place, "topic-triggers"), *_index(place, tenant), *_job_keys(place),
            ],
            event.topic, tag_of(event.publish_id), content.SerializeToString(),
            self._events_max, _LOG_BYTES, self._live_ms,
        )  # fmt: skip
        return _to_event(place, event.topic, created_ms, seq, kept), verdict == b"ADDED"

    async def read(
        self,
        tenant: str,
        topic: str,
        after: Position,
        limit: int = 0,
        wait: Duration | None = None,
    ) -> Reading:
        """Return events behind a place, or none once nothing has come for so long."""
        place = place_of(tenant, topic)
        wait_s = 0.0 if wait is None else wait.ToMilliseconds() / 1000
        until = self._clock.monotonic() + min(max(wait_s, 0.0), _WAIT_S_MAX)
        with self._subscribers.watching(_key(place, "topic")) as woken:
            while True:
                woken.clear()
                reading = await self._read(place, topic, after, min(limit or _READ, _READ_MAX))
                left_s = until - self._clock.monotonic()
                if reading.events or left_s <= 0:
                    return reading
                await wait_for(woken, min(left_s, LOOK_S))

    async def tail(
        self, tenant: str, topic: str, after: str, *, from_beginning: bool
    ) -> AsyncGenerator[Reading, None]:
        """Yield what stands behind a place, first of all where that is, and then what comes."""
        place = place_of(tenant, topic)
        at = from_cursor(place, after) if after or from_beginning else _END
        told = False
        with self._subscribers.watching(_key(place, "topic")) as woken:
            while True:
                woken.clear()
                reading = await self._read(place, topic, at, _READ_MAX)
                if reading.events or not told:
                    yield reading
                    told = True
                at = from_cursor(place, reading.cursor)
                if not reading.events:
                    await wait_for(woken, LOOK_S)

    async def list_topics(self, tenant: str, size: int, token: str) -> tuple[list[Topic], str]:
        """Return a page of a tenant's topics by name, and the token of the next."""
        page = Page[Topic](("topics", tenant), size, token)
        for _ in range(SCANS_MAX):
            names, more = await by_name(self._store, "topics", tenant, page.last)
            found = await asyncio.gather(*(self._topic(tenant, name) for name in names))
            for name, topic in zip(names, found, strict=True):
                if not page.room:
                    return page.items, page.next_token()
                if topic is None:
                    page.skip(name)
                else:
                    page.add(name, topic)
            if not more:
                return page.items, ""
        return page.items, page.next_token()

    async def attach(
        self, tenant: str, topic: str, trigger: RunTrigger, *, from_beginning: bool
    ) -> None:
        """Have a trigger's job nudged by each event to come."""
        place = place_of(tenant, topic)
        if not from_beginning:
            trigger.read_seq = (await self._read(place, topic, _END, 1)).last_seq
        job = _job(tenant, place, trigger)
        (verdict,) = await self._store.run(
            script("topic_attach"),
            [
                _key(place, "topic"), _key(place, "topic-triggers"), _index(place, tenant)[1],
                *_job_keys(place),
            ],
            topic, _TRIGGERS_MAX, *job_values(job),
        )  # fmt: skip
        if verdict == b"FULL":
            raise TopicTriggersFull(topic, _TRIGGERS_MAX)

    async def detach(self, tenant: str, topic: str, trigger: RunTrigger) -> None:
        """Forget a trigger's job."""
        place = place_of(tenant, topic)
        await self._store.run(
            script("topic_detach"),
            [
                _key(place, "topic"), _key(place, "topic-triggers"), _index(place, tenant)[1],
                *_job_keys(place),
            ],
            topic, _job(tenant, place, trigger).job_id, self._live_ms,
        )  # fmt: skip

    async def _read(self, place: str, topic: str, at: Position | None, limit: int) -> Reading:
        created_ms, last_seq, before, kept = await self._store.run(
            script("topic_read"),
            [_key(place, "topic"), _key(place, "topic-log")],
            at.offset if at else 0, at.seq if at else "", limit, _READ_BYTES,
        )  # fmt: skip
        if kept is None:
            raise CursorExpired(to_cursor(place, before, created_ms), before)
        if at and at.seq > last_seq:
            raise InvalidCursor
        first = max(at.seq, before) + 1 if at else last_seq + 1
        events = [
            _to_event(place, topic, created_ms, first + i, each) for i, each in enumerate(kept)
        ]
        end = to_cursor(place, first + len(events) - 1, created_ms)
        return Reading(events, end, last_seq)

    async def _topic(self, tenant: str, name: str) -> Topic | None:
        place = place_of(tenant, name)
        held, count = await asyncio.gather(
            self._store.call("HMGET", _key(place, "topic"), "created", "seq", "published"),
            self._store.call("LLEN", _key(place, "topic-log")),
        )
        if held[0] is None:
            return None
        created, seq, published = map(int, held)
        return Topic(
            name=name,
            last_seq=seq,
            event_count=count,
            create_time=to_time(created),
            publish_time=to_time(published),
        )


def place_of(tenant: str, topic: str) -> str:
    """Return what names a topic among those of all tenants, and its partition."""
    return f"topic/{len(tenant)}:{tenant}/{topic}"


def to_place(tenant: str, topic: str, after: str, after_seq: int) -> Position:
    """Return the place that a cursor means, or a number where there is none."""
    return from_cursor(place_of(tenant, topic), after) if after else Position(max(after_seq, 0))


def _job(tenant: str, place: str, trigger: RunTrigger) -> Job:
    return Job(
        job_id=f"trigger/{place}/{trigger.trigger}/{trigger.generation}",
        tenant=tenant,
        place=place,
        queue=Queue.QUEUE_RUNS,
        run_trigger=trigger,
    )


def _key(place: str, kind: str) -> str:
    return key(partition_of(place), kind, place)


def _index(place: str, tenant: str) -> list[str]:
    """Return the keys of the tenant's topics in a partition, and of those that expire there."""
    p = partition_of(place)
    return [key(p, "topics", tenant), key(p, "topics-expiries", tenant)]


def _job_keys(place: str) -> list[str]:
    return job_keys(partition_of(place))


def _check_content(event: TopicEvent) -> None:
    check_size("event.payload", event.payload.ByteSize(), EVENT_BYTES)
    check_count("event.attributes", len(event.attributes), _ATTRIBUTES_MAX)
    for name, value in event.attributes.items():
        check_size("event.attributes", len(name.encode()), _ATTRIBUTE_KEY_BYTES)
        check_size("event.attributes", len(value.encode()), _ATTRIBUTE_BYTES)


def _to_event(place: str, topic: str, created_ms: int, seq: int, kept: bytes) -> TopicEvent:
    event = TopicEvent.FromString(kept[STAMP + TAG :])
    event.topic = topic
    event.seq = seq
    event.time.CopyFrom(to_time(int(kept[:STAMP])))
    event.cursor = to_cursor(place, seq, created_ms)
    return event
