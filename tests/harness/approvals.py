"""Approvals in the state service's core: what tests ask people for, and what these say."""

import time

from google.protobuf.timestamp_pb2 import Timestamp
from harness.runs import STARTED, TENANT, WAITING, WAITS, append, by, claimed

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_service_pb2 import ApprovalChange, ClaimedRun
from pentad_state.appends import Beside
from pentad_state.core import StateCore

ANY = Approval.STATE_UNSPECIFIED
DIGEST = b"\x01" * 32
YES = Decision(verdict=Decision.VERDICT_APPROVED, comment="fine", decided_by="ann")
NO = Decision(verdict=Decision.VERDICT_REFUSED, comment="too much", decided_by="bob")


def at(seconds_from_now: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(int((time.time() + seconds_from_now) * 1000))
    return stamp


def asked(
    name: str = "run.1.0",
    state: Approval.State.ValueType = Approval.STATE_PENDING,
    *,
    must_be_pending: bool = False,
    approvers: tuple[str, ...] = (),
    escalates: tuple[str, Timestamp] | None = None,
    expire_time: Timestamp | None = None,
) -> ApprovalChange:
    approval = Approval(
        key=name,
        kind=Approval.KIND_TOOL_CALL,
        state=state,
        question="send it?",
        tool="send",
        agent="echo",
        arguments=Payload(text='{"to":"ann"}'),
        arguments_digest=DIGEST,
        approvers=approvers,
        escalate_to=escalates and escalates[:1],
        escalate_time=escalates and escalates[1],
        expire_time=expire_time,
    )
    return ApprovalChange(approval=approval, must_be_pending=must_be_pending)


async def waiting_for(
    core: StateCore, *changes: ApprovalChange, request_id: str = "r1"
) -> tuple[ClaimedRun, str]:
    """A run that waits for approvals, and the id of the first of them."""
    held = await claimed(core, request_id)
    beside = Beside(approvals=changes or (asked(),))
    await append(core, held.lease, 1, STARTED, WAITS, status=WAITING, beside=beside)
    return held, f"{held.lease.run_id}/{beside.approvals[0].approval.key}"


async def take_one(core: StateCore) -> ClaimedRun:
    (held,), _ = await core.schedule.poll(by("two"), 1, 5)
    return held


async def decide(
    core: StateCore, approval_id: str, decision: Decision, decision_id: str, digest: bytes = b""
) -> Approval:
    copy = Decision.FromString(decision.SerializeToString())
    return await core.approvals.decide(TENANT, approval_id, decision_id, copy, digest)
