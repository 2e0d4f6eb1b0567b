"""Topics and triggers through the public API."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import aclosing

import pytest
from harness.builders import agent, answer
from harness.suite import Kit, Suite, until

from pentad.gateway.v1.event_service_pb2 import (
    CreateTriggerRequest,
    DeleteTriggerRequest,
    GetTriggerRequest,
    PublishEventRequest,
    SubscribeTopicRequest,
)
from pentad.gateway.v1.run_service_pb2 import ListRunsRequest
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Run, RunSpec
from pentad.state.v1.topic_pb2 import TopicEvent
from pentad.state.v1.trigger_pb2 import Trigger
from pentad_chassis.channel import reading
from pentad_chassis.errors import AlreadyExists, InvalidArgument, NotFound, OutOfRange
from pentad_cli.subscribe import subscribe

pytestmark = pytest.mark.system

SPEAKER = agent("speaker", answer("hello"))
SOON = {"PENTAD_ORCHESTRATOR_LEASE_S": "1.5", "PENTAD_ORCHESTRATOR_JOB_LEASE_S": "1.5"}


async def publish(kit: Kit, topic: str, number: int, publish_id: str = "") -> TopicEvent:
    payload = Payload(content_type="application/json", text=json.dumps({"number": number}))
    request = PublishEventRequest(
        topic=topic, publish_id=publish_id or f"p{number}", payload=payload
    )
    return (await kit.client.events.PublishEvent(request)).event


async def create(kit: Kit, trigger: Trigger, request_id: str = "") -> Trigger:
    request = CreateTriggerRequest(trigger=trigger, request_id=request_id)
    return (await kit.client.events.CreateTrigger(request)).trigger


def trigger(name: str, topic: str, condition: str = "", marker: str = "") -> Trigger:
    spec = RunSpec(agent="speaker", input=f"{marker or name} {{event.number}}")
    return Trigger(name=name, topic=topic, condition=condition, spec=spec, from_beginning=True)


async def started(kit: Kit, marker: str) -> list[Run]:
    """Return the runs whose input begins with a word, oldest first."""
    found: list[Run] = []
    request = ListRunsRequest(page_size=200)
    while True:
        page = await kit.client.runs.ListRuns(request)
        found += (run for run in page.runs if run.spec.input.startswith(f"{marker} "))
        if not page.next_page_token:
            return found[::-1]
        request.page_token = page.next_page_token


async def numbers(kit: Kit, marker: str) -> list[int]:
    return sorted(int(run.spec.input.split()[1]) for run in await started(kit, marker))


async def until_started(kit: Kit, marker: str, expected: list[int]) -> None:
    async def all_are() -> bool:
        return await numbers(kit, marker) == expected

    await until(all_are, 60.0, f"runs of {marker} for {expected}")


async def first_events(kit: Kit, request: SubscribeTopicRequest, count: int) -> list[TopicEvent]:
    """Return so many events of a subscription."""
    found: list[TopicEvent] = []
    async with reading(kit.client.events.SubscribeTopic(request, timeout=60.0)) as responses:
        async for response in responses:
            found += response.events
            if len(found) >= count:
                return found
    raise AssertionError("the stream ended")


async def test_a_subscriber_hears_what_is_published_and_goes_on_behind_its_cursor(
    kit: Kit, suite: Suite
) -> None:
    topic = f"heard/{suite.topology}"
    first = await publish(kit, topic, 1)
    again = await publish(kit, topic, 7, publish_id="p1")
    assert again == first
    behind = SubscribeTopicRequest(topic=topic, after=first.cursor)
    waiting = asyncio.create_task(first_events(kit, behind, 2))
    await publish(kit, topic, 2)
    await publish(kit, topic, 3)

    assert [event.publish_id for event in await waiting] == ["p2", "p3"]
    everything = SubscribeTopicRequest(topic=topic, from_beginning=True)
    assert [e.seq for e in await first_events(kit, everything, 3)] == [1, 2, 3]
    listed = suite.pentad("event", "topics").stdout
    assert f"{topic}\t3\t3\t" in listed


async def test_a_trigger_starts_one_run_for_each_event_that_its_condition_holds_for(
    kit: Kit, suite: Suite
) -> None:
    await kit.apply(SPEAKER)
    name = f"each-{suite.topology}"
    topic = f"orders/{suite.topology}"
    await publish(kit, topic, 1)
    made = await create(kit, trigger(name, topic, "event.number != 2"), "r1")
    assert await create(kit, trigger(name, topic, "event.number != 2"), "r1") == made
    with pytest.raises(AlreadyExists) as exists:
        await create(kit, trigger(name, topic))
    assert exists.value.reason == "TRIGGER_ALREADY_EXISTS"

    for number in (2, 3, 3, 4):
        await publish(kit, topic, number)
    await until_started(kit, name, [1, 3, 4])
    for run in await started(kit, name):
        assert (await kit.wait(run.run_id)).status.output == "hello"

    await kit.client.events.DeleteTrigger(DeleteTriggerRequest(name=name))
    with pytest.raises(NotFound) as gone:
        await kit.client.events.GetTrigger(GetTriggerRequest(name=name))
    assert gone.value.reason == "TRIGGER_NOT_FOUND"
    await publish(kit, topic, 5)
    await create(kit, trigger(f"{name}-2", topic, marker=f"late-{suite.topology}"))
    await until_started(kit, f"late-{suite.topology}", [1, 2, 3, 4, 5])
    assert await numbers(kit, name) == [1, 3, 4]


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_each_event_starts_one_run_though_everything_is_killed_in_between(
    new_suite: Callable[..., Suite],
) -> None:
    suite = new_suite(**SOON)
    async with suite.open() as kit:
        await kit.apply(SPEAKER)
        await create(kit, trigger("survivor", "orders"))
        await asyncio.gather(*(publish(kit, "orders", number) for number in range(1, 31)))
        suite.kill9()
    suite.restart()

    async with suite.open() as kit:
        await publish(kit, "orders", 31)
        await until_started(kit, "survivor", list(range(1, 32)))


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_a_subscription_survives_a_restart(new_suite: Callable[..., Suite]) -> None:
    suite = new_suite()
    async with suite.open() as kit:
        wanted = SubscribeTopicRequest(topic="orders", from_beginning=True)
        await publish(kit, "orders", 1)
        async with aclosing(subscribe(kit.client, wanted)) as events:
            assert (await anext(events)).seq == 1
            assert suite.stop() == 0
            suite.restart()
            async with suite.open() as afresh:
                await publish(afresh, "orders", 2)
            assert (await anext(events)).seq == 2


@pytest.mark.parametrize("suite", ["one"], indirect=True)
async def test_the_command_publishes_and_shows_triggers(kit: Kit, suite: Suite) -> None:
    await kit.apply(SPEAKER)
    made = suite.pentad("trigger", "create", "by-hand", "by-hand", "speaker", "by-hand {event.n}")
    assert (made.stdout, made.returncode) == ("trigger by-hand created\n", 0), made.stderr

    told = suite.pentad("event", "publish", "by-hand", '{"n": 8}', "-a", "k=v", "--json")
    event = json.loads(told.stdout)
    assert (event["payload"]["content_type"], event["attributes"]) == (
        "application/json",
        {"k": "v"},
    )
    await until_started(kit, "by-hand", [8])

    assert "by-hand {event.n}" in suite.pentad("trigger", "show", "by-hand").stdout
    assert suite.pentad("trigger", "delete", "by-hand").returncode == 0


@pytest.mark.parametrize("suite", ["one"], indirect=True)
async def test_agents_talk_through_topics_as_the_example_says(kit: Kit, suite: Suite) -> None:
    for command in (
        ("agent", "apply", "-f", "examples/events/relay.yaml"),
        ("trigger", "create", "-f", "examples/events/triggers.yaml"),
        ("event", "publish", "enquiries", '{"customer": "ada", "about": "a blue chair"}'),
    ):
        told = suite.pentad(*command)
        assert told.returncode == 0, told.stderr

    answers = SubscribeTopicRequest(topic="answers", from_beginning=True)
    (answer_event,) = await first_events(kit, answers, 1)
    assert re.fullmatch(
        r"We know: ada asked on \w+day for a blue chair\.", answer_event.payload.text
    )
    for name in ("enquiries-to-desk", "found-out-to-writer"):
        await kit.client.events.DeleteTrigger(DeleteTriggerRequest(name=name))


@pytest.mark.parametrize("suite", ["one"], indirect=True)
async def test_what_cannot_be_is_refused_with_the_field_at_fault(kit: Kit, suite: Suite) -> None:
    del suite
    await kit.apply(SPEAKER)
    wrong = trigger("Wrong!", "no topic", "event.x ==")
    wrong.spec.input = ""
    wrong.spec.start_time.FromSeconds(2_000_000_000)
    with pytest.raises(InvalidArgument) as refused:
        await create(kit, wrong)
    assert [violation.field for violation in refused.value.violations] == [
        "trigger.name", "trigger.topic", "trigger.condition", "trigger.spec.input",
        "trigger.spec.start_time",
    ]  # fmt: skip
    nobody = trigger("nobody", "orders")
    nobody.spec.agent = "nobody"
    with pytest.raises(NotFound) as missing:
        await create(kit, nobody)
    assert missing.value.reason == "AGENT_NOT_FOUND"
    with pytest.raises(InvalidArgument):
        await kit.client.events.PublishEvent(PublishEventRequest(topic="orders"))
    with pytest.raises(InvalidArgument) as cursor:
        await first_events(kit, SubscribeTopicRequest(topic="orders", after="abc"), 1)
    assert cursor.value.reason == "INVALID_CURSOR"


@pytest.mark.parametrize("new_suite", ["one"], indirect=True)
async def test_a_cursor_that_fell_out_of_what_is_kept_hears_so(
    new_suite: Callable[..., Suite],
) -> None:
    suite = new_suite(PENTAD_STATE_TOPIC_EVENTS_MAX="100")
    async with suite.open() as kit:
        first = await publish(kit, "orders", 1)
        await asyncio.gather(*(publish(kit, "orders", number) for number in range(2, 112)))

        with pytest.raises(OutOfRange) as expired:
            await first_events(kit, SubscribeTopicRequest(topic="orders", after=first.cursor), 1)

        assert expired.value.reason == "CURSOR_EXPIRED"
        oldest = SubscribeTopicRequest(
            topic="orders", after=expired.value.metadata["oldest_cursor"]
        )
        assert (await first_events(kit, oldest, 1))[0].seq == 12
