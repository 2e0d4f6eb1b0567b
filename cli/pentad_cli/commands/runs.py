"""`pentad tail|wait|runs|show|cancel`: what runs do and did."""

import sys
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from pentad.gateway.v1.run_service_pb2 import (
    CancelRunRequest,
    GetRunRequest,
    ListRunsRequest,
    TailRunRequest,
    WaitRunRequest,
)
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import Run, RunStatus
from pentad_chassis.channel import reading
from pentad_cli.commands.pauses import pause_fields
from pentad_cli.connection import Client, call
from pentad_cli.failure import CommandFailed
from pentad_cli.follow import follow
from pentad_cli.output import print_fields, print_json, print_rows, print_text
from pentad_cli.timeline import Narrator, timeline, waiting_words
from pentad_cli.words import local_time, performer, printable, state_word, took, usage_words

_EVENTS_S = 30.0
_WAIT_MARGIN_S = 5.0
_STATES = tuple(s.removeprefix("STATE_").lower() for s in RunStatus.State.keys()[1:])

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]


def tail(
    run_id: RunId,
    after: Annotated[str, typer.Option(metavar="CURSOR", help="Continue behind it.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Print a run's events until it ends; with --json each holds its cursor."""

    async def work(client: Client) -> None:
        narrator = Narrator()
        async for event in follow(client, run_id, after):
            if as_json:
                print_json(event)
            else:
                print_text(str(narrator.tell(event)))
            sys.stdout.flush()

    call(work)


def wait(
    run_id: RunId,
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds.")] = 600.0,
    *,
    as_json: Json = False,
) -> None:
    """Wait until a run has ended and print its answer; exit 1 unless it completed."""

    async def work(client: Client) -> Run:
        patience = Duration()
        patience.FromNanoseconds(int(timeout * 1e9))
        request = WaitRunRequest(run_id=run_id, timeout=patience)
        return (await client.runs.WaitRun(request, timeout=timeout + _WAIT_MARGIN_S)).run

    run = call(work)
    if as_json:
        print_json(run)
    elif run.status.state == RunStatus.STATE_COMPLETED:
        print_text(printable(run.status.output))
    if run.status.state != RunStatus.STATE_COMPLETED:
        raise CommandFailed(
            f"run {run_id} is {state_word(run.status.state)}", f"see `pentad show {run_id}`"
        )


def list_runs(
    state: Annotated[str, typer.Option(help=f"One of {', '.join(_STATES)}.")] = "",
    session: Annotated[str, typer.Option(help="Only runs of this session.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 20,
    *,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    if state and state not in _STATES:
        raise CommandFailed(f"no state {state!r}; the states are {', '.join(_STATES)}", exit_code=2)
    wanted = RunStatus.State.Value(f"STATE_{state.upper() or 'UNSPECIFIED'}")

    async def work(client: Client) -> list[Run]:
        request = ListRunsRequest(state=wanted, session_id=session, page_size=limit)
        return list((await client.runs.ListRuns(request)).runs)

    runs = call(work)
    if as_json:
        for run in runs:
            print_json(run)
        return
    header = ("RUN", "STATE", "BY", "CREATED", "TOOK", "TURNS", "CALLS", "INPUT")
    rows = [
        (
            run.run_id,
            state_word(run.status.state),
            performer(run.spec),
            local_time(run.create_time),
            took(run),
            str(run.status.turns),
            str(run.status.tool_calls),
            run.spec.input[:60],
        )
        for run in runs
    ]
    print_rows(header, rows, "no runs; `pentad run AGENT TEXT` starts one")


def show(
    run_id: RunId,
    *,
    events: Annotated[bool, typer.Option("--events", help="With its timeline.")] = False,
    as_json: Json = False,
) -> None:
    """Print how a run stands, and with --events all that happened in it."""

    async def work(client: Client) -> tuple[Run, list[Event]]:
        run = (await client.runs.GetRun(GetRunRequest(run_id=run_id))).run
        return run, await events_so_far(client, run) if events else []

    run, past = call(work)
    if as_json:
        print_json(run)
        for event in past:
            print_json(event)
        return
    print_fields(_fields(run))
    told = [event for event in past if not event.HasField("text_delta")]
    for event, entry in zip(told, timeline(told), strict=True):
        print_text(f"{event.seq:>4} {entry}")


async def events_so_far(client: Client, run: Run) -> list[Event]:
    """Return what the journal holds now, without waiting for what comes next."""
    events: list[Event] = []
    request = TailRunRequest(run_id=run.run_id)
    async with reading(client.runs.TailRun(request, timeout=_EVENTS_S)) as responses:
        async for response in responses:
            events += (event for event in response.events if event.seq <= run.last_seq)
            if response.events[-1].seq >= run.last_seq:
                break
    return events


def _fields(run: Run) -> list[tuple[str, str]]:
    status = run.status
    failure = f"{status.failure.message} ({status.failure.reason})"
    cancelling = "  (cancel requested)" if run.cancel_requested else ""
    pausing = "  (pause requested)" if run.pause_requested else ""
    return [
        ("run", run.run_id),
        ("state", state_word(status.state) + pausing + cancelling),
        ("by", performer(run.spec)),
        ("input", run.spec.input),
        ("session", run.spec.session_id),
        ("priority", str(run.spec.priority or "")),
        ("created", local_time(run.create_time)),
        ("not before", local_time(run.spec.start_time).removeprefix("-")),
        ("took", took(run)),
        ("turns", str(status.turns)),
        ("tool calls", str(status.tool_calls)),
        ("usage", usage_words(status.usage)),
        ("trace", run.trace_id),
        ("output", status.output),
        ("failure", failure if status.HasField("failure") else ""),
        ("reason", status.cancel_reason),
        ("waits for", waiting_words(status.waiting)),
        ("parent", run.parent_run_id),
        *pause_fields(run),
    ]


def cancel(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
) -> None:
    """End a run; one that has ended stays as it is."""

    async def work(client: Client) -> Run:
        request = CancelRunRequest(run_id=run_id, reason=reason)
        return (await client.runs.CancelRun(request)).run

    run = call(work)
    if run.cancel_requested:
        print_text(f"run {run_id} is {state_word(run.status.state)}; cancel requested")
    else:
        print_text(f"run {run_id} is {state_word(run.status.state)}")
