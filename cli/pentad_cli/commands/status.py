"""`pentad status`: how every service and replica is."""

import asyncio
import sys
from contextlib import suppress
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from pentad.chassis.v1.status_service_pb2 import LEVEL_HEALTHY
from pentad.gateway.v1.system_service_pb2 import GetSystemStatusRequest, GetSystemStatusResponse
from pentad_chassis.errors import ServiceError
from pentad_cli.connection import Client, Connection, open_client
from pentad_cli.failure import describe
from pentad_cli.levels import level_word, picture, rows
from pentad_cli.output import print_flushed, print_json, print_text

_INTERVAL_S = 1.0
_ANSWER_S = 5.0
_NOT_HEALTHY = 1


def status(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again every second until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Show how every service is; exit 0 when all are healthy, else 1."""
    connection = Connection.load()
    if watch:
        with suppress(KeyboardInterrupt):
            asyncio.run(_watch(connection, as_json=as_json))
        return
    found = asyncio.run(_look(connection))
    _print(found, connection.address, as_json=as_json)
    raise typer.Exit(0 if found.level == LEVEL_HEALTHY else _NOT_HEALTHY)


async def _look(connection: Connection) -> GetSystemStatusResponse:
    async with open_client(connection) as client:
        return await _ask(client)


async def _ask(client: Client) -> GetSystemStatusResponse:
    return await client.system.GetSystemStatus(GetSystemStatusRequest(), timeout=_ANSWER_S)


async def _watch(connection: Connection, *, as_json: bool) -> None:
    async with open_client(connection) as client:
        if as_json or not sys.stdout.isatty():
            await _keep_printing(client, connection.address, as_json=as_json)
        else:
            await _keep_drawing(client, connection.address)


async def _keep_drawing(client: Client, address: str) -> None:
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            view: RenderableType
            try:
                view = picture(await _ask(client), address)
            except ServiceError as error:
                # Whoever watches a suite restart wants to see it come back.
                view = Text(describe(error, address), "bold red")
            live.update(view, refresh=True)
            await asyncio.sleep(_INTERVAL_S)


async def _keep_printing(client: Client, address: str, *, as_json: bool) -> None:
    while True:
        try:
            found = await _ask(client)
        except ServiceError as error:
            sys.stderr.write(f"pentad: {describe(error, address)}\n")
        else:
            if not as_json:
                now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
                print_text(f"{now}\t{level_word(found.level)}")
            _print(found, address, as_json=as_json)
            if not as_json:
                print_flushed("")
        sys.stdout.flush()
        await asyncio.sleep(_INTERVAL_S)


def _print(found: GetSystemStatusResponse, address: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    elif sys.stdout.isatty():
        Console().print(picture(found, address))
    else:
        for row in rows(found.services):
            print_text("\t".join(row))
