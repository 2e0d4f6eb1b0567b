"""Approvals: what runs ask of people, whom the gateway knows by the names of their keys."""

import asyncio
from typing import TYPE_CHECKING

from pentad.gateway.v1 import approval_service_pb2 as pb
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.approval_service_pb2 import (
    DecideApprovalRequest,
    GetApprovalRequest,
    ListApprovalsRequest,
    ListApprovalsResponse,
)
from pentad_chassis.calls import Caller
from pentad_chassis.clock import random_id
from pentad_chassis.errors import FieldViolation, InvalidArgument
from pentad_gateway import validation
from pentad_gateway.answers import check_answer
from pentad_gateway.errors import require

if TYPE_CHECKING:
    from pentad.state.v1.approval_service_pb2_grpc import ApprovalServiceAsyncStub


class ApprovalCore:
    """Approvals of the caller's tenant; the same rules as in `core`."""

    def __init__(self, state: "ApprovalServiceAsyncStub") -> None:
        self._state = state

    async def list_approvals(
        self, tenant: str, request: pb.ListApprovalsRequest
    ) -> ListApprovalsResponse:
        """Return a page of approvals."""
        require(validation.list_approvals(request))
        return await self._state.ListApprovals(
            ListApprovalsRequest(
                tenant=tenant,
                state=request.state,
                run_id=request.run_id,
                page_size=request.page_size,
                page_token=request.page_token,
            )
        )

    async def get_approval(self, tenant: str, request: pb.GetApprovalRequest) -> Approval:
        """Return one approval."""
        require(validation.get_approval(request))
        return await self._find(tenant, request.approval_id)

    async def decide_approval(self, caller: Caller, request: pb.DecideApprovalRequest) -> Approval:
        """Record what a person decided, once it is known to be what was asked for."""
        require(validation.decide_approval(request))
        approval = await self._find(caller.tenant, request.approval_id)
        if approval.state == Approval.STATE_PENDING:  # else whether it fits is not the point
            require(validation.decision_on(approval, request))
            await asyncio.to_thread(check_answer, approval, request.answer)
        asked = DecideApprovalRequest(
            tenant=caller.tenant,
            approval_id=request.approval_id,
            # Nobody is told that another's decision was theirs.
            decision_id=f"{caller.key_name}/{request.request_id or random_id()}",
            decision=_to_decision(caller, request),
            arguments_digest=request.arguments_digest,
        )
        try:
            response = await self._state.DecideApproval(asked)
        except InvalidArgument as refused:
            # Only the state service knows what is asked by now; its answer is about our fields.
            require(
                [
                    FieldViolation(violation.field.removeprefix("decision."), violation.description)
                    for violation in refused.violations
                ]
            )
            raise
        return response.approval

    async def _find(self, tenant: str, approval_id: str) -> Approval:
        response = await self._state.GetApproval(
            GetApprovalRequest(tenant=tenant, approval_id=approval_id)
        )
        return response.approval


def _to_decision(caller: Caller, request: pb.DecideApprovalRequest) -> Decision:
    return Decision(
        verdict=request.verdict,
        comment=request.comment,
        decided_by=caller.key_name,
        answer=request.answer if request.HasField("answer") else None,
        settlements=request.settlements,
    )
