"""What runs ask of people: which calls need to be allowed, and what a decision means. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum, auto
from hashlib import sha256

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad.state.v1.event_pb2 import (
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalRequested,
    Event,
    ToolCallCompleted,
)
from pentad.state.v1.message_pb2 import Payload, ToolCall, ToolError
from pentad.state.v1.run_service_pb2 import ApprovalChange
from pentad_chassis.approvals import CALL, EXPIRE_S, EXPIRE_S_MAX
from pentad_chassis.conditions import ConditionInvalid, ConditionUndecided, compiled
from pentad_chassis.native import NAMES
from pentad_orchestrator.bounds import to_seconds
from pentad_orchestrator.run import Call, Paused, Run
from pentad_orchestrator.waits import Asked

REFUSED = "TOOL_CALL_REFUSED"
EXPIRED = "TOOL_CALL_EXPIRED"

_EACH = "*"
_ARGUMENTS_BYTES_MAX = 16 * 1024


class Leave(Enum):
    """Whether a call may be made."""

    GIVEN = auto()
    """It needs none, or a person gave it for just these arguments."""

    TO_ASK = auto()
    AWAITED = auto()
    DENIED = auto()


def leave(run: Run, call: Call) -> Leave:
    """Return how it stands with a call that was not begun."""
    asked = run.approvals.get(call.wish.call_id)
    if asked is None or asked.approval.arguments_digest != digest(call.wish.arguments):
        # What somebody said about other arguments is nothing said about these.
        return Leave.GIVEN if needed(run, call.wish) is None else Leave.TO_ASK
    if asked.open:
        return Leave.AWAITED
    approved = asked.decision is not None and is_approved(asked.decision)
    return Leave.GIVEN if approved else Leave.DENIED


def needed(run: Run, wish: ToolCall) -> ApprovalPolicy | None:
    """Return the policy under which a person has to agree to a call; None where none asks it.

    The tool's own comes first: whoever runs the suite set it.
    """
    if wish.tool in NAMES and run.is_native(wish.tool):
        return None
    for policy in _policies(run, wish.tool):
        if _holds(policy, run, wish):
            return policy
    return None


def named(run: Run, tool: str) -> ApprovalPolicy:
    """Return what the agent says about one of its tools by name; nothing by default."""
    for each in run.agent.approvals:
        if each.tool == tool:
            return each.policy
    return ApprovalPolicy()


def request(run: Run, approval: Approval, policy: ApprovalPolicy) -> Event:
    """Return the event that asks: `approval` says what, `policy` whom and until when."""
    asked = Approval(
        approval_id=f"{run.run_id}/{approval.key}",
        run_id=run.run_id,
        state=Approval.STATE_PENDING,
        approvers=policy.approvers,
    )
    asked.MergeFrom(approval)
    shown = asked.arguments
    asked.arguments_digest = digest(shown)
    if shown.ByteSize() > _ARGUMENTS_BYTES_MAX:
        asked.ClearField("arguments")
    expire_s = min(to_seconds(policy.expire_after) or EXPIRE_S, EXPIRE_S_MAX)
    asked.expire_time.CopyFrom(_later(run.now_s, expire_s))
    escalate_s = to_seconds(policy.escalate_after)
    if policy.escalate_to and 0 < escalate_s < expire_s:
        asked.escalate_time.CopyFrom(_later(run.now_s, escalate_s))
        asked.escalate_to.extend(policy.escalate_to)
    return Event(approval_requested=ApprovalRequested(approval=asked))


def request_call(run: Run, call: Call) -> Event:
    """Return the event that asks whether a call may be made."""
    wish = call.wish
    policy = needed(run, wish)
    assert policy is not None, "it is asked for because some policy needs it"
    approval = Approval(
        key=wish.call_id,
        kind=Approval.KIND_TOOL_CALL,
        question=f"May the agent {run.agent.name} call {wish.tool}?",
        agent=run.agent.name,
        tool=wish.tool,
        arguments=wish.arguments,
    )
    return request(run, approval, policy)


def denied(run: Run, call: Call) -> Event:
    """Return the outcome of a call to which nobody agreed; the model reads why."""
    return Event(
        tool_call_completed=ToolCallCompleted(
            step=run.planned.name,
            call_id=call.wish.call_id,
            tool=call.wish.tool,
            error=denial(run.approvals[call.wish.call_id]),
        )
    )


def denial(asked: Asked) -> ToolError:
    """Return in words why something that was asked is not to be."""
    if asked.decision is None:
        return ToolError(reason=EXPIRED, message="nobody decided in time")
    comment = asked.decision.comment
    return ToolError(reason=REFUSED, message=f"a person refused{comment and f': {comment}'}")


def is_approved(decision: Decision) -> bool:
    """Whether a decision lets the run go on as it wished."""
    return decision.verdict == Decision.VERDICT_APPROVED


def digest(arguments: Payload) -> bytes:
    """Return what tells arguments from others."""
    body = arguments.binary if arguments.WhichOneof("body") == "binary" else arguments.text.encode()
    return sha256(body).digest()


def requested(run: Run, event: Event) -> Run | None:
    """Return the run after it asked."""
    approval = event.approval_requested.approval
    return _with(run, approval.key, Asked(approval))


def escalated(run: Run, event: Event) -> Run | None:
    """Return the run after more people were let decide."""
    told = event.approval_escalated
    asked = run.approvals.get(told.key)
    if asked is None or not asked.open:
        return None
    return _with(run, told.key, replace(asked, approval=_escalated(asked.approval, told)))


def decided(run: Run, event: Event) -> Run | None:
    """Return the run after somebody decided."""
    told = event.approval_decided
    asked = run.approvals.get(told.key)
    if asked is None or not asked.open:
        return None
    return _with(run, told.key, replace(asked, decision=told.decision))


def expired(run: Run, event: Event) -> Run | None:
    """Return the run after nobody decided in time."""
    key = event.approval_expired.key
    asked = run.approvals.get(key)
    if asked is None or not asked.open:
        return None
    return _with(run, key, replace(asked, expired=True))


def due(asked: Asked) -> float:
    """Return when something is to happen to an open approval even if nobody decides."""
    approval = asked.approval
    times = [approval.expire_time] if approval.HasField("expire_time") else []
    if approval.HasField("escalate_time"):
        times.append(approval.escalate_time)
    return min((time.seconds + time.nanos / 1e9 for time in times), default=float("inf"))


def elapsed(asked: Asked) -> Event:
    """Return what happens then."""
    approval = asked.approval
    if approval.HasField("escalate_time"):
        approvers = {*approval.approvers, *approval.escalate_to} if approval.approvers else ()
        return Event(
            approval_escalated=ApprovalEscalated(key=approval.key, approvers=sorted(approvers))
        )
    return Event(approval_expired=ApprovalExpired(key=approval.key))


def changes(run: Run, events: Sequence[Event], after: Run) -> list[ApprovalChange]:
    """Return what an append of these events makes of the approvals that people see.

    `run` is the run before them, `after` the run behind them.
    """
    if not (run.approvals or after.approvals or run.paused or after.paused):
        return []
    found = dict(_changes(run, events))
    if after.ended:
        for key, asked in after.approvals.items():
            if asked.open:
                found[key] = _changed(asked.approval, Approval.STATE_WITHDRAWN)
    if (pause := in_doubt(run)) is not None and after.ended:
        found[pause.key] = _changed(pause, Approval.STATE_WITHDRAWN)
    elif pause is None and (pause := in_doubt(after)) is not None:
        found[pause.key] = ApprovalChange(approval=pause)
    return list(found.values())


def in_doubt(run: Run) -> Approval | None:
    """Return what a run asks that stopped because of effects of which nobody knows."""
    phase = run.phase
    if not isinstance(phase, Paused) or not phase.pause.unknown_effects:
        return None
    key = f"pause/{phase.seq or run.last_seq}"
    return Approval(
        approval_id=f"{run.run_id}/{key}",
        run_id=run.run_id,
        key=key,
        kind=Approval.KIND_UNKNOWN_EFFECTS,
        state=Approval.STATE_PENDING,
        question=phase.pause.message,
        agent=run.agent.name,
        unknown_effects=phase.pause.unknown_effects,
    )


def _changes(run: Run, events: Sequence[Event]) -> Iterator[tuple[str, ApprovalChange]]:
    for event in events:
        match event.WhichOneof("kind"):
            case "approval_requested":
                approval = event.approval_requested.approval
                yield approval.key, ApprovalChange(approval=approval)
            case "approval_escalated":
                told = event.approval_escalated
                approval = _escalated(run.approvals[told.key].approval, told)
                yield told.key, ApprovalChange(approval=approval)
            case "approval_expired":
                key = event.approval_expired.key
                change = _changed(run.approvals[key].approval, Approval.STATE_EXPIRED)
                change.must_be_pending = True
                yield key, change


def _changed(approval: Approval, state: Approval.State.ValueType) -> ApprovalChange:
    change = ApprovalChange(approval=approval)
    change.approval.state = state
    return change


def _escalated(approval: Approval, told: ApprovalEscalated) -> Approval:
    after = Approval()
    after.CopyFrom(approval)
    after.ClearField("escalate_time")
    after.ClearField("escalate_to")
    del after.approvers[:]
    after.approvers.extend(told.approvers)
    return after


def _with(run: Run, key: str, asked: Asked) -> Run:
    return run.having(approvals={**run.approvals, key: asked})


def _policies(run: Run, tool: str) -> Iterator[ApprovalPolicy]:
    known = run.tools.get(tool)
    if known is None:
        return
    if known.HasField("approval"):
        yield known.approval
    of_agent = {each.tool: each.policy for each in run.agent.approvals}
    if policy := of_agent.get(tool, of_agent.get(_EACH)):
        yield policy


def _holds(policy: ApprovalPolicy, run: Run, wish: ToolCall) -> bool:
    """Whether a policy asks for a person's leave; when in doubt it does."""
    if not policy.condition:
        return True
    try:
        arguments = json.loads(wish.arguments.text)
        values = {"arguments": arguments, "tool": wish.tool, "agent": run.agent.name}
        return compiled(policy.condition, CALL).holds(values)
    except (ValueError, RecursionError, ConditionInvalid, ConditionUndecided):
        return True


def _later(now_s: float, delay_s: float) -> Timestamp:
    time = Timestamp()
    time.FromNanoseconds(int((now_s + delay_s) * 1e9))
    return time
