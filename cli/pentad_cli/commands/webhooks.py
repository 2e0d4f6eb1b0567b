"""`pentad webhook`: create, list, delete, dead letters and sending them again."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from pentad.gateway.v1.webhook_service_pb2 import (
    CreateWebhookRequest,
    CreateWebhookResponse,
    DeleteWebhookRequest,
    ListDeadLettersRequest,
    ListWebhooksRequest,
    RedeliverDeadLetterRequest,
)
from pentad.state.v1.webhook_pb2 import DeadLetter, Webhook
from pentad_chassis.clock import random_id
from pentad_cli.connection import Client, call
from pentad_cli.output import print_json, print_rows, print_text
from pentad_cli.words import local_time

app = typer.Typer(
    help="Webhooks: addresses that are told what becomes of runs.", no_args_is_help=True
)

_PAGE = 500

Name = Annotated[str, typer.Argument(help="Name of the webhook.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]


class On(StrEnum):
    """What a webhook is told of."""

    WAITING = "waiting"
    TERMINAL = "terminal"


_NOTICES = {On.WAITING: Webhook.NOTICE_WAITING, On.TERMINAL: Webhook.NOTICE_TERMINAL}
_WORDS = {notice: on.value for on, notice in _NOTICES.items()}


@app.command("create")
def create(
    name: Name,
    url: Annotated[str, typer.Argument(help="Where notices are posted.", show_default=False)],
    on: Annotated[
        list[On] | None, typer.Option(help="Told of runs that wait, or have ended; both if unset.")
    ] = None,
    *,
    secret_from_stdin: Annotated[
        bool, typer.Option(help="Read the secret from standard input instead of making one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Record a webhook and print its secret, for the only time."""
    webhook = Webhook(name=name, url=url, notices=[_NOTICES[each] for each in on or []])
    secret = sys.stdin.readline().strip() if secret_from_stdin else ""
    request = CreateWebhookRequest(webhook=webhook, secret=secret, request_id=random_id())

    async def work(client: Client) -> CreateWebhookResponse:
        return await client.webhooks.CreateWebhook(request)

    created = call(work)
    if as_json:
        print_json(created)
    else:
        print_text(created.secret)


@app.command("list")
def list_webhooks(*, as_json: Json = False) -> None:
    """List webhooks by name."""

    async def work(client: Client) -> list[Webhook]:
        webhooks: list[Webhook] = []
        request = ListWebhooksRequest(page_size=_PAGE)
        while True:
            page = await client.webhooks.ListWebhooks(request)
            webhooks += page.webhooks
            if not page.next_page_token:
                return webhooks
            request.page_token = page.next_page_token

    webhooks = call(work)
    if as_json:
        for webhook in webhooks:
            print_json(webhook)
        return
    rows = [(w.name, w.url, _told_of(w), local_time(w.create_time)) for w in webhooks]
    empty = "no webhooks; `pentad webhook create NAME URL` adds one"
    print_rows(("NAME", "URL", "ON", "CREATED"), rows, empty)


@app.command("delete")
def delete(name: Name) -> None:
    """Forget a webhook, and with it what it was not told yet."""

    async def work(client: Client) -> None:
        await client.webhooks.DeleteWebhook(DeleteWebhookRequest(name=name))

    call(work)
    print_text(f"webhook {name} deleted")


@app.command("dead-letters")
def dead_letters(
    webhook: Annotated[str, typer.Option(help="Only this webhook's.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """List the notices that nobody took, by webhook and run."""

    async def work(client: Client) -> list[DeadLetter]:
        request = ListDeadLettersRequest(webhook=webhook, page_size=limit)
        return list((await client.webhooks.ListDeadLetters(request)).dead_letters)

    letters = call(work)
    if as_json:
        for letter in letters:
            print_json(letter)
        return
    rows = [
        (each.dead_letter_id, each.type, local_time(each.event_time), each.last_error)
        for each in letters
    ]
    print_rows(("ID", "TYPE", "HAPPENED", "LAST ERROR"), rows, "no dead letters")


@app.command("redeliver")
def redeliver(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
) -> None:
    """Send a notice again that nobody took; it leaves the list once somebody does."""

    async def work(client: Client) -> None:
        request = RedeliverDeadLetterRequest(dead_letter_id=dead_letter_id)
        await client.webhooks.RedeliverDeadLetter(request)

    call(work)
    print_text(f"{dead_letter_id} is sent again")


def _told_of(webhook: Webhook) -> str:
    return ", ".join(_WORDS[notice] for notice in webhook.notices or _WORDS)
