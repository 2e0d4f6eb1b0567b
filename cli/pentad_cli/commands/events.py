"""`pentad event`: publish, tail, topics."""

import json
import sys
from contextlib import aclosing
from functools import partial
from typing import Annotated

import typer

from pentad.gateway.v1.event_service_pb2 import (
    ListTopicsRequest,
    PublishEventRequest,
    SubscribeTopicRequest,
)
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.topic_pb2 import Topic, TopicEvent
from pentad_chassis.clock import random_id
from pentad_cli.connection import Client, call
from pentad_cli.failure import CommandFailed
from pentad_cli.output import print_json, print_rows, print_text
from pentad_cli.persist import persist
from pentad_cli.subscribe import subscribe
from pentad_cli.words import clip, local_time

app = typer.Typer(help="Events: publish them, and follow a topic.", no_args_is_help=True)

_PAGE = 500
_LINE = 1000

TopicName = Annotated[str, typer.Argument(metavar="TOPIC", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]


@app.command("publish")
def publish(
    topic: TopicName,
    text: Annotated[
        str, typer.Argument(help="The payload; `-` for standard input.", show_default=False)
    ],
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", "-a", metavar="KEY=VALUE")
    ] = None,
    publish_id: Annotated[
        str, typer.Option("--id", help="Names the event: repeated, it is there once.")
    ] = "",
    *,
    as_json: Json = False,
) -> None:
    """Add an event to a topic. What is JSON is published as JSON."""
    content = sys.stdin.read() if text == "-" else text
    request = PublishEventRequest(
        topic=topic,
        publish_id=publish_id or random_id(),
        payload=Payload(content_type=_kind(content), text=content),
        attributes=dict(_pair(each) for each in attribute or []),
    )

    async def work(client: Client) -> TopicEvent:
        return (await persist(partial(client.events.PublishEvent, request), known=False)).event

    event = call(work)
    if as_json:
        print_json(event)
    else:
        print_text(f"{event.topic} {event.seq}")


@app.command("tail")
def tail(
    topic: TopicName,
    after: Annotated[str, typer.Option(help="Cursor of the event to go on behind.")] = "",
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest that is kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print a topic's events as they come, until Ctrl-C."""
    request = SubscribeTopicRequest(topic=topic, after=after, from_beginning=from_beginning)

    async def work(client: Client) -> None:
        async with aclosing(subscribe(client, request)) as events:
            async for event in events:
                if as_json:
                    print_json(event)
                else:
                    said = clip(event.payload.text, _LINE)
                    print_text(f"{local_time(event.time)}  {event.seq}  {said}")
                sys.stdout.flush()

    call(work)


@app.command("topics")
def topics(*, as_json: Json = False) -> None:
    """List topics by name."""

    async def work(client: Client) -> list[Topic]:
        found: list[Topic] = []
        request = ListTopicsRequest(page_size=_PAGE)
        while True:
            page = await client.events.ListTopics(request)
            found += page.topics
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    found = call(work)
    if as_json:
        for topic in found:
            print_json(topic)
        return
    rows = [
        (t.name, str(t.last_seq), str(t.event_count), local_time(t.publish_time)) for t in found
    ]
    empty = "no topics; `pentad event publish TOPIC TEXT` begins one"
    print_rows(("TOPIC", "PUBLISHED", "KEPT", "LAST"), rows, empty)


def _kind(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "text/plain"
    return "application/json"


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise CommandFailed(f"--attribute is KEY=VALUE, not {clip(text)!r}", exit_code=2)
    return key, value
