"""`pentad fork` and `pentad session fork`: go on from where a run or a session once was."""

from typing import Annotated

import typer

from pentad.gateway.v1.run_service_pb2 import ForkRunRequest
from pentad.gateway.v1.session_service_pb2 import ForkSessionRequest
from pentad.state.v1.run_pb2 import Run
from pentad.state.v1.session_pb2 import Session
from pentad_chassis.clock import random_id
from pentad_cli.connection import Client, call
from pentad_cli.output import print_json, print_text

RequestId = Annotated[
    str, typer.Option(help="Names the request: repeated, it returns what it first made.")
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON.")]


def fork(
    run_id: Annotated[str, typer.Argument(metavar="RUN", show_default=False)],
    at: Annotated[
        int,
        typer.Option(
            metavar="SEQ", min=1, help="The last event they share; `pentad show RUN --events`."
        ),
    ],
    session: Annotated[
        str, typer.Option(metavar="NEW", help="The fork's session, if RUN has one.")
    ] = "",
    request_id: RequestId = "",
    *,
    as_json: Json = False,
) -> None:
    """Begin a run with another one's events and have it go on by itself; print its id."""
    request = ForkRunRequest(
        run_id=run_id, at_seq=at, session_id=session, request_id=request_id or random_id()
    )

    async def work(client: Client) -> Run:
        return (await client.runs.ForkRun(request)).run

    forked = call(work)
    if as_json:
        print_json(forked)
    else:
        print_text(forked.run_id)


def fork_session(
    session_id: Annotated[str, typer.Argument(metavar="SESSION", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", show_default=False)],
    at: Annotated[int, typer.Option(metavar="SEQ", min=1, help="The last message they share.")],
    request_id: RequestId = "",
    *,
    as_json: Json = False,
) -> None:
    """Begin session NEW with the messages of another one up to a place."""
    request = ForkSessionRequest(
        session_id=session_id,
        at_seq=at,
        new_session_id=new,
        request_id=request_id or random_id(),
    )

    async def work(client: Client) -> Session:
        return (await client.sessions.ForkSession(request)).session

    forked = call(work)
    if as_json:
        print_json(forked)
    else:
        print_text(f"{forked.session_id}: {forked.last_seq} messages")
