"""Policies of approvals: what they may say, wherever they are written."""

from collections.abc import Iterator, Sequence

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad_chassis.conditions import ConditionInvalid, Kind, compiled
from pentad_chassis.errors import FieldViolation

CALL = (("arguments", Kind.ANYTHING), ("tool", Kind.TEXT), ("agent", Kind.TEXT))
"""What the condition of a call's policy may speak of."""

APPROVERS = 16
EXPIRE_S = 7 * 24 * 3600
"""How long people have where nothing else is said."""
EXPIRE_S_MAX = 365 * 24 * 3600

_APPROVER_BYTES = 256
_CONDITION_BYTES = 1024


def violations(policy: ApprovalPolicy, at: str) -> Iterator[FieldViolation]:
    """Yield what is wrong with a policy about calls, which stands in the field `at`."""
    if policy.condition:
        yield from _condition(f"{at}.condition", policy.condition)
    yield from _names(f"{at}.approvers", policy.approvers)
    yield from _names(f"{at}.escalate_to", policy.escalate_to)
    yield from _times(policy, at)


def _condition(field: str, text: str) -> Iterator[FieldViolation]:
    if len(text.encode()) > _CONDITION_BYTES:
        yield FieldViolation(field, f"must be at most {_CONDITION_BYTES} bytes")
        return
    try:
        compiled(text, CALL)
    except ConditionInvalid as invalid:
        yield FieldViolation(
            field, f"must be a CEL condition over `arguments`, `tool` and `agent`: {invalid}"
        )


def _names(field: str, names: Sequence[str]) -> Iterator[FieldViolation]:
    if len(names) > APPROVERS:
        yield FieldViolation(field, f"must hold at most {APPROVERS}")
    for i, name in enumerate(names[:APPROVERS]):
        if not name.strip() or "\n" in name or len(name.encode()) > _APPROVER_BYTES:
            yield FieldViolation(
                f"{field}[{i}]",
                f"must be the name of an API key: one line of at most {_APPROVER_BYTES} bytes",
            )
        if name in names[:i]:
            yield FieldViolation(f"{field}[{i}]", "must differ from those before it")


def _times(policy: ApprovalPolicy, at: str) -> Iterator[FieldViolation]:
    for name in ("escalate_after", "expire_after"):
        if policy.HasField(name) and not 0 < _seconds(getattr(policy, name)) <= EXPIRE_S_MAX:
            yield FieldViolation(f"{at}.{name}", "must be more than 0 s and at most 365 days")
            return
    if policy.HasField("escalate_after") != bool(policy.escalate_to):
        lacking = "escalate_to" if policy.HasField("escalate_after") else "escalate_after"
        yield FieldViolation(f"{at}.{lacking}", "must be set too: one says when, the other to whom")
    elif policy.escalate_to and not policy.approvers:
        yield FieldViolation(f"{at}.approvers", "must be set: without them anybody may decide")
    expires_s = _seconds(policy.expire_after) if policy.HasField("expire_after") else EXPIRE_S
    if policy.HasField("escalate_after") and _seconds(policy.escalate_after) >= expires_s:
        yield FieldViolation(f"{at}.escalate_after", "must be shorter than expire_after")


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
