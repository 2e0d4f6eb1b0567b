"""`pentad schedule`: runs that start at certain times."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pentad.gateway.v1.schedule_service_pb2 import (
    BackfillScheduleRequest,
    CreateScheduleRequest,
    DeleteScheduleRequest,
    GetScheduleRequest,
    ListScheduleFiringsRequest,
    ListSchedulesRequest,
    PauseScheduleRequest,
    ResumeScheduleRequest,
    TriggerScheduleRequest,
    UpdateScheduleRequest,
)
from pentad.state.v1.run_pb2 import RunSpec
from pentad.state.v1.schedule_pb2 import Firing, Interval, Schedule
from pentad_chassis.clock import random_id
from pentad_chassis.errors import AlreadyExists, NotFound, ServiceError
from pentad_cli.connection import Client, call
from pentad_cli.documents import Document, read_documents, to_message
from pentad_cli.failure import CommandFailed
from pentad_cli.output import print_fields, print_json, print_rows, print_text
from pentad_cli.times import duration_of, moment_of
from pentad_cli.words import clip, duration, local_time, performer

app = typer.Typer(help="Runs that start at certain times.", no_args_is_help=True)

_PAGE = 100

Name = Annotated[str, typer.Argument(help="Name of the schedule.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]


class Overlap(StrEnum):
    """What happens at a time while the run before goes on."""

    skip = "skip"
    queue = "queue"
    cancel = "cancel-running"
    allow = "allow"


@app.command("apply")
def apply(
    file: Annotated[
        Path,
        typer.Option(
            "-f", "--file", help="YAML with one schedule or more; `-` for standard input."
        ),
    ],
) -> None:
    """Create the schedules of a file, or update those that exist."""
    # Every document is read before the first is sent: a typing error leaves nothing half applied.
    wanted = [(document, to_message(document, Schedule())) for document in read_documents(file)]

    async def work(client: Client) -> None:
        for document, schedule in wanted:
            print_text(await _apply(client, document, schedule))

    call(work)


async def _apply(client: Client, document: Document, schedule: Schedule) -> str:
    try:
        return await _create_or_update(client, schedule)
    except ServiceError as error:
        if not error.violations:
            raise
        fields = "; ".join(
            f"{v.field.removeprefix('schedule.')}: {v.description}" for v in error.violations
        )
        raise CommandFailed(f"{document.place}: {fields} ({error.reason})") from None


async def _create_or_update(client: Client, schedule: Schedule) -> str:
    try:
        request = GetScheduleRequest(name=schedule.name)
        before = (await client.schedules.GetSchedule(request)).schedule
    except NotFound:
        try:
            made = (
                await client.schedules.CreateSchedule(
                    CreateScheduleRequest(schedule=schedule, request_id=random_id())
                )
            ).schedule
        except AlreadyExists:
            before = Schedule()
        else:
            return f"schedule {made.name} created, {_next(made)}"
    update = UpdateScheduleRequest(schedule=schedule)
    after = (await client.schedules.UpdateSchedule(update)).schedule
    word = "unchanged" if after.generation == before.generation else "updated"
    return f"schedule {after.name} {word}, {_next(after)}"


@app.command("create")
def create(  # noqa: PLR0913 - each is an option of the command
    name: Name,
    agent: Annotated[str, typer.Argument(help="Who performs the runs.", show_default=False)],
    text: Annotated[
        str, typer.Argument(help="What is asked; `{time}` is the time.", show_default=False)
    ],
    *,
    cron: Annotated[str, typer.Option(help="For instance '30 8 * * MON-FRI'.")] = "",
    every: Annotated[
        str, typer.Option(metavar="DURATION", help="Instead: for instance 90s or 2h.")
    ] = "",
    zone: Annotated[str, typer.Option(help="Of --cron, for instance Europe/Berlin.")] = "",
    overlap: Annotated[Overlap, typer.Option(help="While the run before goes on.")] = Overlap.skip,
    paused: Annotated[bool, typer.Option("--paused", help="Start nothing yet.")] = False,
) -> None:
    """Start AGENT on TEXT at certain times."""
    if bool(cron) == bool(every):
        raise CommandFailed("give either --cron or --every", exit_code=2)
    schedule = Schedule(
        name=name,
        cron=cron,
        time_zone=zone,
        spec=RunSpec(agent=agent, input=text),
        overlap=Schedule.Overlap.Value(f"OVERLAP_{overlap.value.replace('-', '_').upper()}"),
        paused=paused,
    )
    if every:
        schedule.interval.every.FromTimedelta(duration_of("--every", every))

    async def work(client: Client) -> Schedule:
        request = CreateScheduleRequest(schedule=schedule, request_id=random_id())
        return (await client.schedules.CreateSchedule(request)).schedule

    print_text(f"schedule {name} created, {_next(call(work))}")


@app.command("list")
def list_schedules(*, as_json: Json = False) -> None:
    """List schedules by name, each with its next time."""

    async def work(client: Client) -> list[Schedule]:
        schedules: list[Schedule] = []
        request = ListSchedulesRequest(page_size=_PAGE)
        while True:
            page = await client.schedules.ListSchedules(request)
            schedules += page.schedules
            if not page.next_page_token:
                return schedules
            request.page_token = page.next_page_token

    schedules = call(work)
    if as_json:
        for schedule in schedules:
            print_json(schedule)
        return
    rows = [(s.name, _timing(s), performer(s.spec), _next(s)) for s in schedules]
    empty = "no schedules; `pentad schedule apply -f FILE.yaml` adds some"
    print_rows(("NAME", "WHEN", "WHO", "NEXT"), rows, empty)


@app.command("show")
def show(name: Name, *, as_json: Json = False) -> None:
    """Show a schedule: its next times, and what became of the last ones."""

    async def work(client: Client) -> tuple[Schedule, list[Firing]]:
        found = await client.schedules.GetSchedule(GetScheduleRequest(name=name))
        fired = await client.schedules.ListScheduleFirings(ListScheduleFiringsRequest(name=name))
        return found.schedule, list(fired.firings)

    schedule, firings = call(work)
    if as_json:
        print_json(schedule)
        for firing in firings:
            print_json(firing)
        return
    print_fields(
        [
            ("schedule", schedule.name),
            ("when", _timing(schedule)),
            ("who", performer(schedule.spec)),
            ("asked", clip(schedule.spec.input)),
            ("overlap", _word(Schedule.Overlap.Name(schedule.overlap)) or "skip"),
            ("runs", str(schedule.started_runs)),
            ("next", "\n".join(map(local_time, schedule.next_times)) or _next(schedule)),
        ]
    )
    rows = [(local_time(f.time), _word(Firing.Cause.Name(f.cause)), *_became(f)) for f in firings]
    print_rows(("TIME", "CAUSE", "OUTCOME", "RUN"), rows, "no time has come yet")


@app.command("pause")
def pause(name: Name) -> None:
    """Let times pass without runs."""

    async def work(client: Client) -> None:
        await client.schedules.PauseSchedule(PauseScheduleRequest(name=name))

    call(work)
    print_text(f"schedule {name} is paused")


@app.command("resume")
def resume(name: Name) -> None:
    """Let times start runs again; those that passed meanwhile do not."""

    async def work(client: Client) -> Schedule:
        return (await client.schedules.ResumeSchedule(ResumeScheduleRequest(name=name))).schedule

    print_text(f"schedule {name} goes on, {_next(call(work))}")


@app.command("trigger")
def trigger(name: Name) -> None:
    """Start a run now; print its id."""

    async def work(client: Client) -> str:
        request = TriggerScheduleRequest(name=name, request_id=random_id())
        return (await client.schedules.TriggerSchedule(request)).run_id

    print_text(call(work))


@app.command("backfill")
def backfill(
    name: Name,
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="For instance 2026-12-24T18:00.")
    ],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="The last one.")],
) -> None:
    """Start a run for each time of the past from one to another."""
    request = BackfillScheduleRequest(
        name=name,
        from_time=moment_of("--from", begin),
        to_time=moment_of("--to", end),
        request_id=random_id(),
    )

    async def work(client: Client) -> int:
        return (await client.schedules.BackfillSchedule(request)).times

    print_text(f"schedule {name} starts runs for {call(work)} times of the past")


@app.command("delete")
def delete(name: Name) -> None:
    """Forget a schedule; its runs go on."""

    async def work(client: Client) -> None:
        await client.schedules.DeleteSchedule(DeleteScheduleRequest(name=name))

    call(work)
    print_text(f"schedule {name} deleted")


def _next(schedule: Schedule) -> str:
    if schedule.paused:
        return "paused"
    return f"next {local_time(schedule.next_times[0])}" if schedule.next_times else "has ended"


def _timing(schedule: Schedule) -> str:
    if schedule.HasField("interval"):
        return _interval(schedule.interval)
    return f"{schedule.cron} {schedule.time_zone or 'UTC'}"


def _interval(interval: Interval) -> str:
    return f"every {duration(interval.every.ToTimedelta().total_seconds())}"


def _became(firing: Firing) -> tuple[str, str]:
    word = _word(Firing.Outcome.Name(firing.outcome))
    why = f": {firing.reason}, {firing.message}" if firing.reason else ""
    until = f" (up to {local_time(firing.until_time)})" if firing.HasField("until_time") else ""
    return f"{word}{why}{until}", firing.run_id


def _word(name: str) -> str:
    """Return `cancel running` for OVERLAP_CANCEL_RUNNING, nothing for what is unset."""
    word = name.partition("_")[2].replace("_", " ").lower()
    return "" if word == "unspecified" else word
