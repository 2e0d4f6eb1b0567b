"""`pentad trigger`: create, list, show, delete."""

from pathlib import Path
from typing import Annotated

import typer

from pentad.gateway.v1.event_service_pb2 import (
    CreateTriggerRequest,
    DeleteTriggerRequest,
    GetTriggerRequest,
    ListTriggersRequest,
)
from pentad.state.v1.run_pb2 import RunSpec
from pentad.state.v1.trigger_pb2 import Trigger
from pentad_chassis.clock import random_id
from pentad_cli.connection import Client, call
from pentad_cli.documents import read_documents, to_message
from pentad_cli.failure import CommandFailed
from pentad_cli.output import print_fields, print_json, print_rows, print_text
from pentad_cli.words import local_time, performer

app = typer.Typer(help="Triggers: runs for what is published.", no_args_is_help=True)

_PAGE = 500

Name = Annotated[str, typer.Argument(help="Name of the trigger.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]


@app.command("create")
def create(  # noqa: PLR0913 - each is an argument or an option of the command
    name: Annotated[str, typer.Argument(show_default=False)] = "",
    topic: Annotated[str, typer.Argument(show_default=False)] = "",
    agent: Annotated[str, typer.Argument(help="Who performs the runs.", show_default=False)] = "",
    text: Annotated[
        str, typer.Argument(help="What is asked; holds `{event}`.", show_default=False)
    ] = "",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="YAML with one trigger or more.")
    ] = None,
    *,
    when: Annotated[
        str, typer.Option(metavar="CEL", help="Only for events that this holds for.")
    ] = "",
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest event that is kept.")
    ] = False,
) -> None:
    """Have AGENT run on TEXT for each event of TOPIC."""
    if (file is None) == (not name):
        raise CommandFailed("give either NAME, TOPIC, AGENT and TEXT, or --file", exit_code=2)
    if file is not None:
        triggers = [to_message(document, Trigger()) for document in read_documents(file)]
    else:
        spec = RunSpec(agent=agent, input=text)
        triggers = [Trigger(name=name, topic=topic, condition=when, spec=spec)]
        triggers[0].from_beginning = from_beginning

    async def work(client: Client) -> None:
        for trigger in triggers:
            request = CreateTriggerRequest(trigger=trigger, request_id=random_id())
            await client.events.CreateTrigger(request)
            print_text(f"trigger {trigger.name} created")

    call(work)


@app.command("list")
def list_triggers(*, as_json: Json = False) -> None:
    """List triggers by name."""

    async def work(client: Client) -> list[Trigger]:
        found: list[Trigger] = []
        request = ListTriggersRequest(page_size=_PAGE)
        while True:
            page = await client.events.ListTriggers(request)
            found += page.triggers
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    found = call(work)
    if as_json:
        for trigger in found:
            print_json(trigger)
        return
    rows = [(t.name, t.topic, t.condition, performer(t.spec), _failed(t)) for t in found]
    empty = "no triggers; `pentad trigger create NAME TOPIC AGENT TEXT` adds one"
    print_rows(("NAME", "TOPIC", "WHEN", "RUNS", "LAST FAILURE"), rows, empty)


@app.command("show")
def show(name: Name, *, as_json: Json = False) -> None:
    """Print a trigger."""

    async def work(client: Client) -> Trigger:
        return (await client.events.GetTrigger(GetTriggerRequest(name=name))).trigger

    trigger = call(work)
    if as_json:
        print_json(trigger)
        return
    print_fields(
        [
            ("name", trigger.name),
            ("topic", trigger.topic),
            ("when", trigger.condition),
            ("runs", performer(trigger.spec)),
            ("input", trigger.spec.input),
            ("created", local_time(trigger.create_time)),
            ("last failure", _failed(trigger)),
        ]
    )


@app.command("delete")
def delete(name: Name) -> None:
    """Forget a trigger; runs that it has started go on."""

    async def work(client: Client) -> None:
        await client.events.DeleteTrigger(DeleteTriggerRequest(name=name))

    call(work)
    print_text(f"trigger {name} deleted")


def _failed(trigger: Trigger) -> str:
    if not trigger.HasField("last_failure"):
        return ""
    last = trigger.last_failure
    return f"event {last.seq}: {last.failure.reason}: {last.failure.message}"
