"""How a run's approvals are kept, and how they become what callers see."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.run_service_pb2 import ApprovalChange
from pentad_state.bounds import APPEND_BYTES, check_count, check_name, check_size, invalid
from pentad_state.journal import STAMP, TAG, to_time
from pentad_state.partitions import key
from pentad_state.store import Reply, Value

_CHANGES_MAX = 200
_APPROVERS_MAX = 32
_FREE = frozenset({Approval.STATE_PENDING, Approval.STATE_EXPIRED, Approval.STATE_WITHDRAWN})
"""What a run can say of an approval; the rest is for people to say."""


def book_keys(partition: int, run_id: str) -> list[str]:
    """Return the keys of a run's approvals, of all, of those pending and of those that are over."""
    indexes = (key(partition, kind) for kind in ("asked", "pending", "asked-over"))
    return [key(partition, "approvals", run_id), *indexes]


def change_values(run_id: str, changes: Sequence[ApprovalChange]) -> list[Value]:
    """Return what `run_append_all` takes for the approvals that it makes or changes."""
    check_count("approvals", len(changes), _CHANGES_MAX)
    values: list[Value] = []
    for i, change in enumerate(changes):
        approval, field = change.approval, f"approvals[{i}].approval"
        _check(field, run_id, approval)
        values += (
            approval.key, int(change.must_be_pending), approval.state, _to_kept(approval),
            _ms(approval.expire_time), _ms(approval.escalate_time),
            approval.arguments_digest.hex(),
            "\n".join(approval.approvers), "\n".join(approval.escalate_to),
        )  # fmt: skip
    check_size("approvals", sum(len(v) for v in values if isinstance(v, bytes)), APPEND_BYTES)
    return values


def asking_about_doubts(changes: Sequence[ApprovalChange]) -> str:
    """Return the key of the approval that asks what became of calls; empty without one."""
    return next(
        (
            change.approval.key
            for change in changes
            if change.approval.kind == Approval.KIND_UNKNOWN_EFFECTS
        ),
        "",
    )


def to_approval(run_id: str, name: str, held: Reply) -> Approval:
    """Return an approval, of its state, when it was made, what it is and what was decided."""
    state, made, body, decided = held
    approval = Approval.FromString(body)
    approval.approval_id = f"{run_id}/{name}"
    approval.run_id = run_id
    approval.key = name
    approval.state = Approval.State.ValueType(int(state))
    approval.create_time.CopyFrom(to_time(int(made)))
    if decided is not None:
        approval.decision.CopyFrom(Decision.FromString(decided[STAMP + TAG :]))
        approval.decision.time.CopyFrom(to_time(int(decided[:STAMP])))
    return approval


def _check(field: str, run_id: str, approval: Approval) -> None:
    check_name(f"{field}.key", approval.key)
    if approval.run_id not in {"", run_id}:
        raise invalid(f"{field}.run_id", "must be the run that is appended to")
    if approval.kind == Approval.KIND_UNSPECIFIED:
        raise invalid(f"{field}.kind", "must be set")
    if approval.state not in _FREE:
        raise invalid(f"{field}.state", "must be pending, expired or withdrawn")
    for names in ("approvers", "escalate_to"):
        listed: Sequence[str] = getattr(approval, names)
        check_count(f"{field}.{names}", len(listed), _APPROVERS_MAX)
        for i, name in enumerate(listed):
            check_name(f"{field}.{names}[{i}]", name)
            if "\n" in name:
                raise invalid(f"{field}.{names}[{i}]", "must be one line")


def _to_kept(approval: Approval) -> bytes:
    """Return what is kept of an approval; the rest follows from its place."""
    kept = Approval()
    kept.CopyFrom(approval)
    for known in ("approval_id", "run_id", "key", "state", "create_time", "decision"):
        kept.ClearField(known)
    return kept.SerializeToString()


def _ms(time: Timestamp) -> int:
    return max(time.ToMilliseconds(), 0)
