"""Topics keep what is published in its order, for a while, and tell those who wait for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest
from harness.engines import ask
from harness.runs import seconds

from pentad.state.v1.job_pb2 import Queue, RunTrigger
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad_chassis.errors import InvalidArgument
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.bounds import KIB
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.errors import CursorExpired, InvalidCursor, PayloadTooLarge, TopicTriggersFull
from pentad_state.partitions import key, partition_of
from pentad_state.topics import Reading, place_of, to_place

TENANT, TOPIC = "acme", "orders"
LIMITS = Config(topic_events_max=100)


def event(number: int, text: str = "", topic: str = TOPIC) -> TopicEvent:
    payload = Payload(content_type="application/json", text=text or f'{{"number": {number}}}')
    return TopicEvent(
        topic=topic, publish_id=f"p{number}", payload=payload, attributes={"kind": "order"}
    )


async def publish(core: StateCore, *events: TopicEvent) -> list[TopicEvent]:
    return [(await core.topics.publish(TENANT, each))[0] for each in events]


async def read(core: StateCore, after: str = "", limit: int = 0, wait_s: float = 0) -> Reading:
    place = to_place(TENANT, TOPIC, after, 0)
    return await core.topics.read(TENANT, TOPIC, place, limit, seconds(wait_s))


def ids(events: Sequence[TopicEvent]) -> list[str]:
    return [each.publish_id for each in events]


@pytest.fixture
async def small(core: StateCore, engine: str) -> AsyncIterator[StateCore]:
    """A core whose topics keep a hundred events."""
    del core  # which has emptied the engine
    async with open_core(engine, LIMITS, silent_telemetry("state")) as opened:
        yield opened


async def test_events_are_read_as_they_were_published(core: StateCore) -> None:
    kept = await publish(core, event(1), event(2))

    reading = await read(core)

    assert reading.events == kept
    assert [each.seq for each in kept] == [1, 2]
    assert kept[0].payload == event(1).payload
    assert dict(kept[0].attributes) == {"kind": "order"}
    assert kept[0].time.ToMilliseconds() <= kept[1].time.ToMilliseconds()
    assert (reading.cursor, reading.last_seq) == (kept[1].cursor, 2)


async def test_an_event_that_is_published_again_is_there_once(core: StateCore) -> None:
    first, added = await core.topics.publish(TENANT, event(1))
    await publish(core, event(2))

    again, added_again = await core.topics.publish(TENANT, event(1, '"something else"'))

    assert (added, added_again) == (True, False)
    assert again == first
    assert ids((await read(core)).events) == ["p1", "p2"]


async def test_topics_and_tenants_are_apart(core: StateCore) -> None:
    await publish(core, event(1), event(2, topic="other"))
    await core.topics.publish("evil", event(3))

    assert ids((await read(core)).events) == ["p1"]


async def test_reading_goes_on_behind_a_cursor(core: StateCore) -> None:
    await publish(core, *(event(i) for i in range(1, 8)))

    seen: list[str] = []
    cursor = ""
    while (reading := await read(core, cursor, limit=3)).events:
        seen += ids(reading.events)
        cursor = reading.cursor

    assert seen == [f"p{i}" for i in range(1, 8)]
    assert (await read(core, cursor)).cursor == cursor


async def test_an_answer_fits_into_a_message(core: StateCore) -> None:
    for number in range(40):
        await publish(core, event(number, "x" * 60 * KIB))

    reading = await read(core, limit=1000)

    assert 1 < len(reading.events) < 40
    assert sum(each.ByteSize() for each in reading.events) < 2 * KIB * KIB


async def test_one_who_waits_hears_what_another_replica_publishes(
    core: StateCore, engine: str
) -> None:
    (first,) = await publish(core, event(1))
    async with open_core(engine, Config(), silent_telemetry("state")) as other:
        waiting = asyncio.create_task(read(other, first.cursor, wait_s=25))
        await asyncio.sleep(0)
        await publish(core, event(2))

        assert ids((await waiting).events) == ["p2"]


async def test_a_tail_begins_with_its_place_and_goes_on_for_ever(core: StateCore) -> None:
    await publish(core, event(1))
    async with aclosing(core.topics.tail(TENANT, TOPIC, "", from_beginning=False)) as tail:
        first = await anext(tail)
        assert list(first.events) == []
        await publish(core, event(2))
        assert ids((await anext(tail)).events) == ["p2"]
        await publish(core, event(3))
        last = await anext(tail)
        assert ids(last.events) == ["p3"]
    async with aclosing(core.topics.tail(TENANT, TOPIC, first.cursor, from_beginning=False)) as on:
        assert ids((await anext(on)).events) == ["p2", "p3"]
    async with aclosing(core.topics.tail(TENANT, TOPIC, "", from_beginning=True)) as all_of_it:
        assert ids((await anext(all_of_it)).events) == ["p1", "p2", "p3"]


async def test_a_tail_of_a_topic_that_is_not_there_yet_hears_its_first_event(
    core: StateCore,
) -> None:
    async with aclosing(core.topics.tail(TENANT, TOPIC, "", from_beginning=False)) as tail:
        nothing = await anext(tail)
        await publish(core, event(1))
        assert ids((await anext(tail)).events) == ["p1"]

    assert ids((await read(core, nothing.cursor)).events) == ["p1"]


async def test_the_oldest_events_go_and_their_cursors_say_so(small: StateCore) -> None:
    kept = await publish(small, *(event(i) for i in range(1, 111)))

    assert ids((await read(small)).events)[0] == "p11"
    assert (await read(small, kept[9].cursor)).events[0] == kept[10]
    with pytest.raises(CursorExpired) as expired:
        await read(small, kept[8].cursor)
    oldest = expired.value.metadata["oldest_cursor"]
    assert (await read(small, oldest)).events[0] == kept[10]
    assert expired.value.metadata["oldest_seq"] == "10"
    again, added = await small.topics.publish(TENANT, event(1))
    assert (again.seq, added) == (111, True), "it is forgotten with its event"


async def test_what_is_old_goes_though_there_is_room(core: StateCore, engine: str) -> None:
    kept = await publish(core, event(1), event(2))
    log = key(partition(), "topic-log", place_of(TENANT, TOPIC))
    ask(engine, "LSET", log, 0, "0" * 29)

    await publish(core, event(3))

    reading = await read(core)
    assert ids(reading.events) == ["p2", "p3"]
    assert reading.events[0] == kept[1]


async def test_a_cursor_of_a_topic_that_began_anew_has_expired(
    core: StateCore, engine: str
) -> None:
    (old,) = await publish(core, event(1))
    ask(engine, "FLUSHALL")
    await asyncio.sleep(0.002)  # the new one begins at another time
    await publish(core, event(2), event(3))

    with pytest.raises(CursorExpired):
        await read(core, old.cursor)


@pytest.mark.parametrize("wrong", ["AAAA", "no cursor"])
async def test_a_cursor_of_something_else_is_refused(core: StateCore, wrong: str) -> None:
    (elsewhere,) = await publish(core, event(1, topic="other"))
    await publish(core, event(1))

    for cursor in (wrong, elsewhere.cursor):
        with pytest.raises(InvalidCursor):
            await read(core, cursor)


async def test_topics_are_listed_by_name_in_pages(core: StateCore) -> None:
    wanted = sorted(f"topic-{i}" for i in range(70))
    await asyncio.gather(*(publish(core, event(1, topic=name)) for name in wanted))
    await publish(core, event(2, topic="topic-7"))

    found, token = await core.topics.list_topics(TENANT, 40, "")
    rest, end = await core.topics.list_topics(TENANT, 40, token)

    assert ([each.name for each in [*found, *rest]], end) == (wanted, "")
    (seventh,) = [each for each in [*found, *rest] if each.name == "topic-7"]
    assert (seventh.last_seq, seventh.event_count) == (2, 2)
    assert await core.topics.list_topics("evil", 40, "") == ([], "")


async def test_a_trigger_is_nudged_by_each_event(core: StateCore) -> None:
    (before,) = await publish(core, event(1))
    await attach(core, "mine")
    (held,) = await due(core)
    task = held.job.run_trigger
    assert (task.trigger, task.topic, task.read_seq) == ("mine", TOPIC, before.seq)
    await attach(core, "mine")
    assert await due(core) == []

    await publish(core, event(2))
    held.job.due_time.FromSeconds(9_999_999_999)
    await core.jobs.postpone(held.job, held.fence, afresh=True)

    assert names(await due(core)) == ["mine"]


async def test_a_trigger_that_sleeps_is_woken_and_a_detached_one_is_gone(core: StateCore) -> None:
    await attach(core, "early", from_beginning=True)
    (claim,) = await due(core)
    assert claim.job.run_trigger.read_seq == 0
    claim.job.due_time.FromSeconds(9_999_999_999)
    await core.jobs.postpone(claim.job, claim.fence, afresh=True)
    assert await due(core) == []

    await publish(core, event(1))
    assert names(await due(core)) == ["early"]

    await core.topics.detach(TENANT, TOPIC, RunTrigger(trigger="early", generation=1))
    await publish(core, event(2))
    assert await core.jobs.peek(partition()) == {}


async def test_a_topic_that_a_trigger_reads_is_not_forgotten(core: StateCore, engine: str) -> None:
    await publish(core, event(1))
    assert ttl_ms(engine) > 0

    await attach(core, "mine")
    assert ttl_ms(engine) == -1
    await publish(core, event(2))
    assert ttl_ms(engine) == -1

    await core.topics.detach(TENANT, TOPIC, RunTrigger(trigger="mine", generation=1))
    assert ttl_ms(engine) > 0


async def test_a_topic_has_so_many_triggers_and_no_more(core: StateCore) -> None:
    for number in range(100):
        await attach(core, f"t{number}")

    with pytest.raises(TopicTriggersFull):
        await attach(core, "one-too-many")
    await attach(core, "t7")


async def test_what_cannot_be_an_event_is_refused(core: StateCore) -> None:
    with pytest.raises(PayloadTooLarge):
        await publish(core, event(1, "x" * 65 * KIB))
    many = event(1)
    for number in range(40):
        many.attributes[str(number)] = "x"
    unnamed, nowhere, long = event(1), event(1), event(1)
    unnamed.ClearField("publish_id")
    nowhere.ClearField("topic")
    long.attributes["kind"] = "x" * 2 * KIB
    for wrong in (many, unnamed, nowhere, long):
        with pytest.raises(InvalidArgument):
            await publish(core, wrong)
    assert list((await read(core)).events) == []


async def attach(core: StateCore, name: str, *, from_beginning: bool = False) -> None:
    trigger = RunTrigger(trigger=name, topic=TOPIC, generation=1)
    await core.topics.attach(TENANT, TOPIC, trigger, from_beginning=from_beginning)


async def due(core: StateCore) -> list[ClaimedJob]:
    """Return the jobs of triggers that are due, which are held from then on."""
    return (await core.jobs.claim(partition(), Queue.QUEUE_RUNS, 60_000, 100)).jobs


def names(claimed: Sequence[ClaimedJob]) -> list[str]:
    return [each.job.run_trigger.trigger for each in claimed]


def partition() -> int:
    return partition_of(place_of(TENANT, TOPIC))


def ttl_ms(engine: str) -> int:
    """Until the topic is forgotten; -1 for never."""
    answer = ask(engine, "PTTL", key(partition(), "topic", place_of(TENANT, TOPIC)))
    assert isinstance(answer, int)
    return answer
