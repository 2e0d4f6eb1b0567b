"""Approvals, on the wire."""

from pentad.gateway.v1 import approval_service_pb2 as pb
from pentad.gateway.v1 import approval_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context, caller
from pentad_gateway.approvals import ApprovalCore


class ApprovalServicer(pb_grpc.ApprovalServiceServicer):
    """ApprovalService over its core."""

    def __init__(self, core: ApprovalCore) -> None:
        self._core = core

    async def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: Context
    ) -> pb.ListApprovalsResponse:
        page = await self._core.list_approvals(caller().tenant, request)
        return pb.ListApprovalsResponse(
            approvals=page.approvals, next_page_token=page.next_page_token
        )

    async def GetApproval(
        self, request: pb.GetApprovalRequest, context: Context
    ) -> pb.GetApprovalResponse:
        approval = await self._core.get_approval(caller().tenant, request)
        return pb.GetApprovalResponse(approval=approval)

    async def DecideApproval(
        self, request: pb.DecideApprovalRequest, context: Context
    ) -> pb.DecideApprovalResponse:
        approval = await self._core.decide_approval(caller(), request)
        return pb.DecideApprovalResponse(approval=approval)
