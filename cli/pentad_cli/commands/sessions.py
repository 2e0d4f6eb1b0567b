"""`pentad sessions|session`: conversations."""

from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from pentad.gateway.v1.session_service_pb2 import ListMessagesRequest, ListSessionsRequest
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.session_pb2 import Session, SessionMessage
from pentad_cli.commands.forks import fork_session
from pentad_cli.connection import Client, call
from pentad_cli.output import print_json, print_rows, print_text
from pentad_cli.words import clip, local_time

if TYPE_CHECKING:
    from typer._click.core import Command, Context

_PAGE = 500
_LINE = 1000


class _ShowUnlessNamed(TyperGroup):
    """`pentad session NAME` shows that session, unless NAME is that of a command."""

    def resolve_command(
        self, ctx: "Context", args: list[str]
    ) -> "tuple[str | None, Command | None, list[str]]":
        """Return the command that `args` begin with, or `show`."""
        named = bool(args) and (args[0] in self.commands or args[0].startswith("-"))
        return super().resolve_command(ctx, args if named else ["show", *args])


app = typer.Typer(cls=_ShowUnlessNamed, no_args_is_help=True, help="Print or fork a conversation.")
app.command("fork")(fork_session)

Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]


def list_sessions(
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 20,
    *,
    as_json: Json = False,
) -> None:
    """List conversations, the last used first."""

    async def work(client: Client) -> list[Session]:
        request = ListSessionsRequest(page_size=limit)
        return list((await client.sessions.ListSessions(request)).sessions)

    sessions = call(work)
    if as_json:
        for session in sessions:
            print_json(session)
        return
    rows = [(s.session_id, str(s.last_seq), local_time(s.update_time)) for s in sessions]
    empty = "no sessions; `pentad run --session NAME AGENT TEXT` begins one"
    print_rows(("SESSION", "MESSAGES", "LAST USED"), rows, empty)


@app.command("show")
def show_session(
    session_id: Annotated[str, typer.Argument(metavar="SESSION", show_default=False)],
    *,
    as_json: Json = False,
) -> None:
    """Print a conversation, oldest message first."""

    async def work(client: Client) -> list[SessionMessage]:
        messages: list[SessionMessage] = []
        request = ListMessagesRequest(session_id=session_id, page_size=_PAGE)
        while True:
            page = await client.sessions.ListMessages(request)
            messages += page.messages
            if not page.next_page_token:
                return messages
            request.page_token = page.next_page_token

    for message in call(work):
        if as_json:
            print_json(message)
        else:
            role = Message.Role.Name(message.message.role).removeprefix("ROLE_").lower()
            text = clip(message.message.text, _LINE)
            print_text(f"{local_time(message.time)}  {role:<9}  {text}")
