"""What runs ask of people, on the wire."""

from pentad.state.v1 import approval_service_pb2 as pb
from pentad.state.v1 import approval_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class ApprovalServicer(pb_grpc.ApprovalServiceServicer):
    """What runs ask of people."""

    def __init__(self, core: StateCore) -> None:
        self._approvals = core.approvals

    async def GetApproval(
        self, request: pb.GetApprovalRequest, context: Context
    ) -> pb.GetApprovalResponse:
        approval = await self._approvals.get(request.tenant, request.approval_id)
        return pb.GetApprovalResponse(approval=approval)

    async def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: Context
    ) -> pb.ListApprovalsResponse:
        approvals, token = await self._approvals.list_approvals(
            request.tenant, request.state, request.run_id, request.page_size, request.page_token
        )
        return pb.ListApprovalsResponse(approvals=approvals, next_page_token=token)

    async def DecideApproval(
        self, request: pb.DecideApprovalRequest, context: Context
    ) -> pb.DecideApprovalResponse:
        approval = await self._approvals.decide(
            request.tenant,
            request.approval_id,
            request.decision_id,
            request.decision,
            request.arguments_digest,
        )
        return pb.DecideApprovalResponse(approval=approval)
