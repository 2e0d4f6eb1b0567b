"""The public workflow service: translation only."""

from pentad.gateway.v1 import workflow_service_pb2 as pb
from pentad.gateway.v1.workflow_service_pb2_grpc import WorkflowServiceServicer
from pentad_chassis.server import Context, caller
from pentad_gateway.workflows import WorkflowCore


class WorkflowServicer(WorkflowServiceServicer):
    """WorkflowService over its core."""

    def __init__(self, core: WorkflowCore) -> None:
        self._core = core

    async def ApplyWorkflow(
        self, request: pb.ApplyWorkflowRequest, context: Context
    ) -> pb.ApplyWorkflowResponse:
        workflow = await self._core.apply_workflow(caller().tenant, request)
        return pb.ApplyWorkflowResponse(workflow=workflow)

    async def GetWorkflow(
        self, request: pb.GetWorkflowRequest, context: Context
    ) -> pb.GetWorkflowResponse:
        workflow = await self._core.get_workflow(caller().tenant, request)
        return pb.GetWorkflowResponse(workflow=workflow)

    async def ListWorkflows(
        self, request: pb.ListWorkflowsRequest, context: Context
    ) -> pb.ListWorkflowsResponse:
        return await self._core.list_workflows(caller().tenant, request)

    async def DeleteWorkflow(
        self, request: pb.DeleteWorkflowRequest, context: Context
    ) -> pb.DeleteWorkflowResponse:
        await self._core.delete_workflow(caller().tenant, request)
        return pb.DeleteWorkflowResponse()

    async def ValidateWorkflow(
        self, request: pb.ValidateWorkflowRequest, context: Context
    ) -> pb.ValidateWorkflowResponse:
        problems = await self._core.validate_workflow(caller().tenant, request)
        return pb.ValidateWorkflowResponse(
            problems=[pb.Problem(field=p.field, description=p.description) for p in problems]
        )
