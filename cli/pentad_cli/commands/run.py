"""`pentad run`: start a run and watch it work."""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from pentad.gateway.v1.run_service_pb2 import CreateRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunSpec, RunStatus, SessionPolicy
from pentad_chassis.clock import random_id
from pentad_cli.connection import Client, call
from pentad_cli.documents import read_documents, to_message
from pentad_cli.failure import CommandFailed
from pentad_cli.follow import follow
from pentad_cli.output import print_json, print_text
from pentad_cli.persist import persist
from pentad_cli.progress import Progress
from pentad_cli.timeline import Narrator
from pentad_cli.times import start_of
from pentad_cli.tree import Bottom, run_tree
from pentad_cli.words import printable, state_word

_REFRESH_S = 0.1
_INTERRUPTED = 130
_POLICIES = {
    "enqueue": SessionPolicy.SESSION_POLICY_ENQUEUE,
    "reject": SessionPolicy.SESSION_POLICY_REJECT,
    "interrupt": SessionPolicy.SESSION_POLICY_INTERRUPT,
    "roll-back": SessionPolicy.SESSION_POLICY_ROLL_BACK,
}


@dataclass(slots=True)
class Watch:
    """A run being watched; outlives the watching, so that Ctrl-C can say what to do."""

    json: bool = False
    run_id: str = ""
    progress: Progress = field(default_factory=Progress)


def run(  # noqa: PLR0913 - each is an option of the command
    agent: Annotated[str, typer.Argument(help="Who performs it.", show_default=False)] = "",
    text: Annotated[str, typer.Argument(help="What is asked.", show_default=False)] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="YAML with a RunSpec, for instance of several steps."),
    ] = None,
    session: Annotated[str, typer.Option(help="Conversation to continue or begin.")] = "",
    session_policy: Annotated[
        str, typer.Option(metavar="POLICY", help=f"If it is busy: {', '.join(_POLICIES)}.")
    ] = "",
    request_id: Annotated[
        str, typer.Option(help="Names the request: repeated, it returns the same run.")
    ] = "",
    *,
    priority: Annotated[
        int | None, typer.Option(min=-10, max=10, help="Higher ones are taken first.")
    ] = None,
    at: Annotated[
        str, typer.Option(metavar="TIME", help="Not before; for instance 2026-12-24T18:00.")
    ] = "",
    delay: Annotated[
        str, typer.Option("--in", metavar="DURATION", help="Not before; for instance 90s or 2h.")
    ] = "",
    callback: Annotated[
        list[str] | None, typer.Option(metavar="WEBHOOK", help="Told how the run fares.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON an event.")] = False,
) -> None:
    """Run AGENT on TEXT: progress on standard error, the answer on standard output."""
    spec = _spec(agent, text, file, session)
    if priority is not None:
        spec.priority = priority
    if at or delay:
        spec.start_time.CopyFrom(start_of(at, delay))
    if session_policy:
        spec.session_policy = _policy(session_policy)
    spec.callbacks.extend(callback or [])
    run_and_watch(spec, request_id, as_json=as_json)


def run_and_watch(spec: RunSpec, request_id: str, *, as_json: bool) -> None:
    """Start a run and show its progress to its end; print its answer, or fail as it did."""
    watch = Watch(json=as_json)
    try:
        call(lambda client: _watch(client, spec, request_id or random_id(), watch))
    except KeyboardInterrupt:
        if not watch.run_id:
            raise
        sys.stderr.write(
            f"pentad: the run goes on; follow it with `pentad tail {watch.run_id}`, "
            f"end it with `pentad cancel {watch.run_id}`\n"
        )
        raise typer.Exit(_INTERRUPTED) from None
    _finish(watch)


def _spec(agent: str, text: str, file: Path | None, session: str) -> RunSpec:
    if (file is None) == (not agent):
        raise CommandFailed("give either AGENT and TEXT or --file", exit_code=2)
    if file is None:
        return RunSpec(agent=agent, input=text, session_id=session)
    documents = read_documents(file)
    if len(documents) > 1:
        raise CommandFailed(f"{file} holds {len(documents)} documents; a run is one", exit_code=2)
    spec = to_message(documents[0], RunSpec())
    if session:
        spec.session_id = session
    return spec


def _policy(name: str) -> SessionPolicy.ValueType:
    if name not in _POLICIES:
        raise CommandFailed(f"no session policy {name!r}; take {', '.join(_POLICIES)}", exit_code=2)
    return _POLICIES[name]


async def _watch(client: Client, spec: RunSpec, request_id: str, watch: Watch) -> None:
    request = CreateRunRequest(spec=spec, request_id=request_id)
    created = await persist(partial(client.runs.CreateRun, request), known=False)
    watch.run_id = created.run.run_id
    console = Console(stderr=True)
    if watch.json or not console.is_terminal:
        await _watch_lines(client, watch)
    else:
        await _watch_tree(client, watch, console)


async def _watch_lines(client: Client, watch: Watch) -> None:
    narrator = Narrator()
    async for event in follow(client, watch.run_id, known=True):
        watch.progress.apply(event)
        if watch.json:
            print_json(event)
            sys.stdout.flush()
        elif _worth_a_line(event):
            sys.stderr.write(f"{narrator.tell(event)}\n")


def _worth_a_line(event: Event) -> bool:
    return event.WhichOneof("kind") != "text_delta"


async def _watch_tree(client: Client, watch: Watch, console: Console) -> None:
    began = time.monotonic()

    def draw() -> Bottom:
        return Bottom(run_tree(watch.progress, time.monotonic() - began))

    async def keep_drawing(live: Live) -> None:
        while True:
            live.update(draw(), refresh=True)
            await asyncio.sleep(_REFRESH_S)

    with Live(draw(), console=console, auto_refresh=False, transient=True) as live:
        async with asyncio.TaskGroup() as group:
            drawing = group.create_task(keep_drawing(live))
            async for event in follow(client, watch.run_id, known=True):
                watch.progress.apply(event)
            drawing.cancel()
    console.print(run_tree(watch.progress, watch.progress.elapsed_s))


def _finish(watch: Watch) -> None:
    progress = watch.progress
    if progress.state == RunStatus.STATE_COMPLETED:
        if not watch.json:
            print_text(printable(progress.output))
        return
    because = f": {progress.reason}" if progress.reason else ""
    raise CommandFailed(
        f"run {watch.run_id} {state_word(progress.state)}{because}",
        f"see `pentad show {watch.run_id} --events`",
    )
