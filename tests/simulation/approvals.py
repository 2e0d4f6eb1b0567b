"""Approvals as the state service keeps them, in memory."""

from google.protobuf.timestamp_pb2 import Timestamp
from simulation.store import Runs
from simulation.stored import DECIDED, PAUSED, Stored, refusal

from pentad.state.v1 import approval_service_pb2 as pb
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.approval_service_pb2_grpc import ApprovalServiceServicer
from pentad.state.v1.event_pb2 import ApprovalDecided, Event, RunResumed
from pentad.state.v1.run_pb2 import Settlement
from pentad_chassis.clock import SystemClock
from pentad_chassis.errors import FailedPrecondition, NotFound, PermissionDenied


class Approvals(ApprovalServiceServicer):
    """The approval service; whatever stands between two awaits is one atomic step."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._clock = SystemClock()

    async def GetApproval(
        self, request: pb.GetApprovalRequest, context: object
    ) -> pb.GetApprovalResponse:
        return pb.GetApprovalResponse(approval=self._find(request.approval_id)[1])

    async def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: object
    ) -> pb.ListApprovalsResponse:
        found = [a for stored in self._runs.stored.values() for a in stored.approvals.values()]
        chosen = [a for a in found if request.state in {0, a.state}]
        return pb.ListApprovalsResponse(approvals=reversed(chosen))

    async def DecideApproval(
        self, request: pb.DecideApprovalRequest, context: object
    ) -> pb.DecideApprovalResponse:
        stored, approval = self._find(request.approval_id)
        if stored.decisions.get(approval.key) != request.decision_id:
            self._check(stored, approval, request)
            decision = Decision()
            decision.CopyFrom(request.decision)
            decision.time.CopyFrom(self._now())
            self._carry_out(stored, approval, decision)
            stored.decisions[approval.key] = request.decision_id
        return pb.DecideApprovalResponse(approval=approval)

    def _check(self, stored: Stored, approval: Approval, request: pb.DecideApprovalRequest) -> None:
        now_ms = self._now().ToMilliseconds()
        if approval.state in DECIDED:
            raise refusal(FailedPrecondition, "APPROVAL_DECIDED")
        over = approval.HasField("expire_time") and approval.expire_time.ToMilliseconds() <= now_ms
        if approval.state == Approval.STATE_EXPIRED or (
            approval.state == Approval.STATE_PENDING and over
        ):
            raise refusal(FailedPrecondition, "APPROVAL_EXPIRED")
        is_doubt = approval.kind == Approval.KIND_UNKNOWN_EFFECTS
        unasked = is_doubt and (stored.state != PAUSED or stored.doubted != approval.key)
        if approval.state == Approval.STATE_WITHDRAWN or unasked:
            raise refusal(FailedPrecondition, "APPROVAL_WITHDRAWN")
        allowed = set(approval.approvers)
        if approval.HasField("escalate_time"):
            later = approval.escalate_time.ToMilliseconds() <= now_ms
            allowed |= set(approval.escalate_to) if allowed and later else set()
        if allowed and request.decision.decided_by not in allowed:
            raise refusal(PermissionDenied, "APPROVER_NOT_ALLOWED")
        if request.arguments_digest not in {b"", approval.arguments_digest}:
            raise refusal(FailedPrecondition, "ARGUMENTS_CHANGED")

    def _carry_out(self, stored: Stored, approval: Approval, decision: Decision) -> None:
        approved = decision.verdict == Decision.VERDICT_APPROVED
        if approval.kind == Approval.KIND_UNKNOWN_EFFECTS:
            settlements = list(decision.settlements)
            if not approved and not settlements:
                settlements = [
                    Settlement(call_id=e.call_id, attempt=e.attempt, failure=decision.comment)
                    for e in approval.unknown_effects
                ]
            resumed = RunResumed(settlements=settlements, reason=decision.comment)
            self._runs.resume(stored, resumed)
        else:
            told = ApprovalDecided(key=approval.key, decision=decision)
            self._runs.tell(stored, Event(approval_decided=told))
        approval.state = Approval.STATE_APPROVED if approved else Approval.STATE_REFUSED
        approval.decision.CopyFrom(decision)

    def _find(self, approval_id: str) -> tuple[Stored, Approval]:
        run_id, _, key = approval_id.partition("/")
        stored = self._runs.stored.get(run_id)
        if stored is None or key not in stored.approvals:
            raise refusal(NotFound, "APPROVAL_NOT_FOUND")
        return stored, stored.approvals[key]

    def _now(self) -> Timestamp:
        time = Timestamp()
        time.FromMilliseconds(int(self._clock.now() * 1000))
        return time
