"""Requests about approvals."""

from pentad.gateway.v1.approval_service_pb2 import (
    DecideApprovalRequest,
    GetApprovalRequest,
    ListApprovalsRequest,
)
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad_chassis.errors import FieldViolation
from pentad_gateway.validation.bounds import KIB, RUN_ID_BYTES, Bounds
from pentad_gateway.validation.runs import check_settlements

APPROVAL_ID_BYTES = 1 * KIB
COMMENT_BYTES = 4 * KIB
ANSWER_BYTES = 256 * KIB
DIGEST_BYTES = 32

_VERDICTS = frozenset({Decision.VERDICT_APPROVED, Decision.VERDICT_REFUSED})


def list_approvals(request: ListApprovalsRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    if request.state not in Approval.State.values():
        bounds.broken("state", "must be one of Approval.State's values")
    bounds.text("run_id", request.run_id, RUN_ID_BYTES)
    bounds.page(request)
    return bounds.violations


def get_approval(request: GetApprovalRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.filled("approval_id", request.approval_id, APPROVAL_ID_BYTES)
    return bounds.violations


def decide_approval(request: DecideApprovalRequest) -> list[FieldViolation]:
    """Return what is wrong with the request, whatever is asked."""
    bounds = Bounds()
    bounds.filled("approval_id", request.approval_id, APPROVAL_ID_BYTES)
    bounds.request_id(request.request_id)
    if request.verdict not in _VERDICTS:
        bounds.broken("verdict", "must be VERDICT_APPROVED or VERDICT_REFUSED")
    bounds.text("comment", request.comment, COMMENT_BYTES)
    if request.HasField("answer"):
        if not request.answer.WhichOneof("body"):
            bounds.broken("answer", "must have a body")
        bounds.whole("answer", request.answer, ANSWER_BYTES)
    check_settlements(bounds, request.settlements)
    if len(request.arguments_digest) not in {0, DIGEST_BYTES}:
        bounds.broken("arguments_digest", f"must be the {DIGEST_BYTES} bytes that were shown")
    return bounds.violations


def decision_on(approval: Approval, request: DecideApprovalRequest) -> list[FieldViolation]:
    """Return what is wrong with a well-formed decision on just this approval."""
    bounds = Bounds()
    approves = request.verdict == Decision.VERDICT_APPROVED
    is_question = approval.kind == Approval.KIND_QUESTION
    if request.HasField("answer") and not (is_question and approves):
        bounds.broken("answer", "must be unset: only a question that is approved has an answer")
    elif is_question and approves:
        _answered(bounds, approval, request)
    if request.settlements and approval.kind != Approval.KIND_UNKNOWN_EFFECTS:
        bounds.broken("settlements", "must be empty: no effect is unknown")
    return bounds.violations


def _answered(bounds: Bounds, approval: Approval, request: DecideApprovalRequest) -> None:
    if approval.HasField("answer_schema"):
        if not request.answer.text:
            bounds.broken("answer.text", "must hold JSON that fits the approval's answer_schema")
    elif not request.HasField("answer") and not request.comment.strip():
        bounds.broken("answer", "must be set, or `comment`: a question was asked")
