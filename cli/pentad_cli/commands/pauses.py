"""`pentad pause|resume`: runs that wait for a person, and what the person has to say."""

import json
from typing import Annotated

import typer

from pentad.gateway.v1.run_service_pb2 import PauseRunRequest, ResumeRunRequest
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Run, Settlement
from pentad_chassis.clock import random_id
from pentad_cli.connection import Client, call
from pentad_cli.failure import CommandFailed
from pentad_cli.output import print_text
from pentad_cli.progress import payload_text
from pentad_cli.words import clip, state_word

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, for people.")]

_SETTLE = "CALL=done:JSON|not-done|failed:TEXT"


def pause(run_id: RunId, reason: Reason = "") -> None:
    """Let a run rest: what is in hand ends, and nothing more is begun until it is resumed."""

    async def work(client: Client) -> Run:
        request = PauseRunRequest(run_id=run_id, reason=reason)
        return (await client.runs.PauseRun(request)).run

    run = call(work)
    requested = "; pause requested" if run.pause_requested else ""
    print_text(f"run {run_id} is {state_word(run.status.state)}{requested}")


def resume(
    run_id: RunId,
    settle: Annotated[
        list[str] | None,
        typer.Option(
            metavar=_SETTLE,
            help="What became of a call that `pentad show` says is unknown; one for each.",
        ),
    ] = None,
    reason: Reason = "",
) -> None:
    """Let a paused run go on."""
    settlements = [to_settlement(each) for each in settle or ()]

    async def work(client: Client) -> Run:
        request = ResumeRunRequest(
            run_id=run_id, request_id=random_id(), settlements=settlements, reason=reason
        )
        return (await client.runs.ResumeRun(request)).run

    run = call(work)
    print_text(f"run {run_id} is {state_word(run.status.state)}")


def to_settlement(text: str) -> Settlement:
    """Return what `CALL=…` says, or fail with how to say it."""
    call_id, _, finding = text.partition("=")
    match (call_id.strip(), *finding.partition(":")):
        case (str(call_id), "not-done", "", "") if call_id:
            return Settlement(call_id=call_id, not_done=True)
        case (str(call_id), "failed", ":", str(why)) if call_id and why.strip():
            return Settlement(call_id=call_id, failure=why)
        case (str(call_id), "done", ":", str(result)) if call_id:
            return Settlement(call_id=call_id, result=_to_payload(result))
    raise CommandFailed(f"--settle is {_SETTLE}, not {clip(text)!r}", exit_code=2)


def _to_payload(text: str) -> Payload:
    """Return a result as the tool would have given it: a string as text, all else as JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        raise CommandFailed(
            f"{clip(text)!r} is not JSON; a text stands in quotes", exit_code=2
        ) from None
    if isinstance(value, str):
        return Payload(content_type="text/plain", text=value)
    return Payload(content_type="application/json", text=text)


def pause_fields(run: Run) -> list[tuple[str, str]]:
    """Return why a run is paused and what it needs to go on; nothing for one that is not."""
    if not run.status.HasField("pause"):
        return []
    pause = run.status.pause
    unknown = [
        ("unknown", f"{effect.call_id} {effect.tool} {clip(payload_text(effect.arguments))}")
        for effect in pause.unknown_effects
    ]
    settle = "".join(f" --settle {effect.call_id}=…" for effect in pause.unknown_effects)
    return [
        ("paused", f"{pause.message} ({pause.reason})"),
        *unknown,
        ("go on with", f"pentad resume {run.run_id}{settle}"),
    ]
