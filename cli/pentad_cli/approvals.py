"""Approvals in words: what is asked, of whom, until when, and what came of it."""

from google.protobuf import json_format

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad_cli.progress import payload_text
from pentad_cli.words import clip, local_time

_KINDS = {
    Approval.KIND_TOOL_CALL: "approval",
    Approval.KIND_QUESTION: "question",
    Approval.KIND_GATE: "gate",
    Approval.KIND_UNKNOWN_EFFECTS: "unknown effects",
}
_ANYBODY = "any key"


def kind_word(approval: Approval) -> str:
    """Return `approval`, `question` and so on."""
    return _KINDS.get(approval.kind, "approval")


def approval_word(approval: Approval) -> str:
    """Return `pending` for STATE_PENDING, and so on."""
    return Approval.State.Name(approval.state).removeprefix("STATE_").lower()


def approval_row(approval: Approval) -> tuple[str, ...]:
    """Return an approval as a line of a table."""
    return (
        approval.approval_id,
        approval_word(approval),
        approval.tool or kind_word(approval),
        approval.question,
        ", ".join(approval.approvers) or _ANYBODY,
        local_time(approval.expire_time),
    )


def approval_fields(approval: Approval) -> list[tuple[str, str]]:
    """Return all that a person has to know to decide, and how to."""
    schema = approval.answer_schema
    unknown = [
        ("unknown", f"{effect.call_id} {effect.tool} {clip(payload_text(effect.arguments))}")
        for effect in approval.unknown_effects
    ]
    later = f"{', '.join(approval.escalate_to)} from {local_time(approval.escalate_time)} on"
    decision = decision_words(approval) if approval.HasField("decision") else ""
    return [
        ("approval", approval.approval_id),
        ("state", approval_word(approval)),
        ("run", approval.run_id),
        ("asks for", kind_word(approval)),
        ("question", approval.question),
        ("agent", approval.agent),
        ("tool", approval.tool),
        ("arguments", payload_text(approval.arguments)),
        ("digest", approval.arguments_digest.hex() if approval.tool else ""),
        *unknown,
        ("answer", json_format.MessageToJson(schema, indent=None) if schema.fields else ""),
        ("may decide", ", ".join(approval.approvers) or _ANYBODY),
        ("later also", later if approval.escalate_to else ""),
        ("asked", local_time(approval.create_time)),
        ("expires", local_time(approval.expire_time).removeprefix("-")),
        ("decision", decision),
        *_how_to(approval),
    ]


def decision_words(approval: Approval) -> str:
    """Return what was decided, by whom and when."""
    decision = approval.decision
    yes = "answered" if approval.kind == Approval.KIND_QUESTION else "approved"
    word = yes if decision.verdict == Decision.VERDICT_APPROVED else "refused"
    by = f" by {decision.decided_by}" if decision.decided_by else ""
    said = f": {clip(decision.comment)}" if decision.comment else ""
    return f"{word}{by} at {local_time(decision.time)}{said}"


def _how_to(approval: Approval) -> list[tuple[str, str]]:
    if approval.state != Approval.STATE_PENDING:
        return []
    more = " --answer JSON" if approval.kind == Approval.KIND_QUESTION else ""
    more += "".join(f" --settle {effect.call_id}=…" for effect in approval.unknown_effects)
    name = approval.approval_id
    return [("decide", f"pentad approve {name}{more}\npentad refuse {name} --comment TEXT")]
