"""`pentad approvals|approval|approve|refuse`: what runs ask of people, and what people say."""

import json
from typing import Annotated

import typer

from pentad.gateway.v1.approval_service_pb2 import (
    DecideApprovalRequest,
    GetApprovalRequest,
    ListApprovalsRequest,
)
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.message_pb2 import Payload
from pentad_chassis.clock import random_id
from pentad_cli.approvals import approval_fields, approval_row, decision_words, kind_word
from pentad_cli.commands.pauses import to_settlement
from pentad_cli.connection import Client, call
from pentad_cli.failure import CommandFailed
from pentad_cli.output import print_fields, print_json, print_rows, print_text
from pentad_cli.words import clip

_STATES = tuple(s.removeprefix("STATE_").lower() for s in Approval.State.keys()[1:])
_ALL = "all"
_DIGEST_DIGITS = 64

ApprovalId = Annotated[
    str, typer.Argument(metavar="APPROVAL", help="The approval's id.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON for each.")]
Digest = Annotated[
    str,
    typer.Option(metavar="HEX", help="Decide only if the arguments are those with this digest."),
]


def list_approvals(
    state: Annotated[str, typer.Option(help=f"One of {', '.join(_STATES)}, or all.")] = "pending",
    run: Annotated[str, typer.Option(help="Only those of this run.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """List what runs ask of people, newest first."""
    if state not in {*_STATES, _ALL}:
        raise CommandFailed(
            f"no state {clip(state)!r}; the states are {', '.join(_STATES)}, all", exit_code=2
        )
    wanted = Approval.State.Value(f"STATE_{'UNSPECIFIED' if state == _ALL else state.upper()}")

    async def work(client: Client) -> list[Approval]:
        found: list[Approval] = []
        request = ListApprovalsRequest(state=wanted, run_id=run, page_size=limit)
        while True:
            page = await client.approvals.ListApprovals(request)
            found += page.approvals
            if not page.next_page_token or len(found) >= limit:
                return found[:limit]
            request.page_token = page.next_page_token

    approvals = call(work)
    if as_json:
        for approval in approvals:
            print_json(approval)
        return
    header = ("APPROVAL", "STATE", "ASKS FOR", "QUESTION", "MAY DECIDE", "EXPIRES")
    print_rows(header, map(approval_row, approvals), "nothing is asked of anybody")


def show(approval_id: ApprovalId, *, as_json: Json = False) -> None:
    """Print what is asked: the question, the arguments, who may decide and until when."""

    async def work(client: Client) -> Approval:
        request = GetApprovalRequest(approval_id=approval_id)
        return (await client.approvals.GetApproval(request)).approval

    approval = call(work)
    if as_json:
        print_json(approval)
    else:
        print_fields(approval_fields(approval))


def approve(
    approval_id: ApprovalId,
    comment: Annotated[str, typer.Option(help="Why, for people and for the model.")] = "",
    answer: Annotated[
        str, typer.Option(metavar="JSON", help="The answer, where a question is asked.")
    ] = "",
    settle: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CALL=done:JSON|not-done|failed:TEXT",
            help="What became of a call that is unknown; one for each.",
        ),
    ] = None,
    digest: Digest = "",
    *,
    as_json: Json = False,
) -> None:
    """Let a run go on with what it asks for, or answer its question."""
    request = DecideApprovalRequest(
        approval_id=approval_id,
        verdict=Decision.VERDICT_APPROVED,
        comment=comment,
        settlements=map(to_settlement, settle or ()),
        arguments_digest=_to_digest(digest),
        request_id=random_id(),
    )
    _decide(request, answer, as_json=as_json)


def refuse(
    approval_id: ApprovalId,
    comment: Annotated[str, typer.Option(help="Why, for people and for the model.")],
    digest: Digest = "",
    *,
    as_json: Json = False,
) -> None:
    """Have a run go on without what it asks for."""
    request = DecideApprovalRequest(
        approval_id=approval_id,
        verdict=Decision.VERDICT_REFUSED,
        comment=comment,
        arguments_digest=_to_digest(digest),
        request_id=random_id(),
    )
    _decide(request, "", as_json=as_json)


def _decide(request: DecideApprovalRequest, answer: str, *, as_json: bool) -> None:
    async def work(client: Client) -> Approval:
        if answer:
            asked = GetApprovalRequest(approval_id=request.approval_id)
            approval = (await client.approvals.GetApproval(asked)).approval
            request.answer.CopyFrom(to_answer(approval, answer))
        return (await client.approvals.DecideApproval(request)).approval

    approval = call(work)
    if as_json:
        print_json(approval)
    else:
        print_text(f"{kind_word(approval)} {approval.approval_id} {decision_words(approval)}")


def to_answer(approval: Approval, text: str) -> Payload:
    """Return an answer: JSON where the question says which, else any text."""
    if not approval.HasField("answer_schema"):
        return Payload(content_type="text/plain", text=text)
    try:
        json.loads(text)
    except ValueError:
        raise CommandFailed(
            f"--answer is JSON, not {clip(text)!r}; a text stands in quotes", exit_code=2
        ) from None
    return Payload(content_type="application/json", text=text)


def _to_digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b"?"
    if len(digest) * 2 not in {0, _DIGEST_DIGITS}:
        raise CommandFailed(
            f"--digest is the {_DIGEST_DIGITS} digits that `pentad approval` prints", exit_code=2
        )
    return digest
