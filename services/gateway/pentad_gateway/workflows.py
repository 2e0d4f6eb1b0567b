"""Workflows of the caller's tenant; the same rules as in `core`."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pentad.gateway.v1 import workflow_service_pb2 as pb
from pentad.orchestrator.v1.orchestrator_service_pb2 import CheckWorkflowRequest
from pentad.state.v1.entry_service_pb2 import (
    DeleteEntryRequest,
    Entry,
    GetEntryRequest,
    ListEntriesRequest,
    PutEntryRequest,
)
from pentad.state.v1.workflow_pb2 import Workflow, WorkflowSpec
from pentad_chassis import scopes
from pentad_chassis.errors import FieldViolation, NotFound, ServiceError
from pentad_gateway import validation
from pentad_gateway.errors import VersionMismatch, WorkflowNotFound, require

if TYPE_CHECKING:
    from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceAsyncStub
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub

_ATTEMPTS = 5
"""At a change that meets others' changes; each of them got on meanwhile."""

_PAGE_SIZE = 10
"""Of one page by default: a workflow may have 240 KiB, and a message 4 MiB."""


class WorkflowCore:
    """Kept as entries of the state service; the orchestrator knows whether what they name exists.

    Expressions are compiled in a thread: a thousand of them take a second.
    """

    def __init__(
        self, entries: "EntryServiceAsyncStub", orchestrator: "OrchestratorServiceAsyncStub"
    ) -> None:
        self._entries = entries
        self._orchestrator = orchestrator

    async def apply_workflow(self, tenant: str, request: pb.ApplyWorkflowRequest) -> Workflow:
        """Record a workflow; one that is the same already stays as it is."""
        require(await asyncio.to_thread(validation.apply_workflow, request))
        for _ in range(_ATTEMPTS):
            known = await self._find(tenant, request.name)
            found = 0 if known is None else known.version
            if known is not None and known.spec == request.spec:
                return known
            if request.expected_version and request.expected_version != found:
                raise VersionMismatch(request.name, request.expected_version, found)
            try:
                return await self._put(tenant, request, found)
            except ServiceError as error:
                if error.reason != VersionMismatch.reason:
                    raise
        raise VersionMismatch(request.name, request.expected_version, found)

    async def get_workflow(self, tenant: str, request: pb.GetWorkflowRequest) -> Workflow:
        """Return a workflow."""
        require(validation.name_workflow(request))
        known = await self._find(tenant, request.name)
        if known is None:
            raise WorkflowNotFound(request.name)
        return known

    async def list_workflows(
        self, tenant: str, request: pb.ListWorkflowsRequest
    ) -> pb.ListWorkflowsResponse:
        """Return a page of workflows."""
        require(validation.list_workflows(request))
        page = await self._entries.ListEntries(
            ListEntriesRequest(
                scope=scopes.workflows(tenant),
                page_size=request.page_size or _PAGE_SIZE,
                page_token=request.page_token,
            )
        )
        return pb.ListWorkflowsResponse(
            workflows=map(_to_workflow, page.entries), next_page_token=page.next_page_token
        )

    async def delete_workflow(self, tenant: str, request: pb.DeleteWorkflowRequest) -> None:
        """Forget a workflow."""
        require(validation.name_workflow(request))
        await self._entries.DeleteEntry(
            DeleteEntryRequest(scope=scopes.workflows(tenant), key=request.name)
        )

    async def validate_workflow(
        self, tenant: str, request: pb.ValidateWorkflowRequest
    ) -> list[FieldViolation]:
        """Return all that is wrong with a workflow, here and with what it names."""
        wrong = await asyncio.to_thread(validation.validate_workflow, request)
        return await completed(self._orchestrator, tenant, request.spec, wrong)

    async def _find(self, tenant: str, name: str) -> Workflow | None:
        request = GetEntryRequest(scope=scopes.workflows(tenant), key=name)
        try:
            return _to_workflow((await self._entries.GetEntry(request)).entry)
        except NotFound:
            return None

    async def _put(self, tenant: str, request: pb.ApplyWorkflowRequest, found: int) -> Workflow:
        put = PutEntryRequest(
            scope=scopes.workflows(tenant),
            key=request.name,
            value=request.spec.SerializeToString(deterministic=True),
            expected_version=found,
        )
        stored = await self._entries.PutEntry(put)
        stored.entry.value = put.value
        return _to_workflow(stored.entry)


async def completed(
    orchestrator: "OrchestratorServiceAsyncStub",
    tenant: str,
    spec: WorkflowSpec,
    wrong: Sequence[FieldViolation],
    at: str = "spec",
) -> list[FieldViolation]:
    """Return what is wrong with a workflow at `at`, with what it names and that does not exist.

    Of one that is too large by far, nothing that it names is looked for.
    """
    known = {violation.field for violation in wrong}
    if not known.isdisjoint({at, f"{at}.nodes", f"{at}.edges"}):
        return list(wrong)
    response = await orchestrator.CheckWorkflow(CheckWorkflowRequest(tenant=tenant, spec=spec))
    found = ((at + each.field.removeprefix("spec"), each.description) for each in response.missing)
    return [*wrong, *(FieldViolation(*each) for each in found if each[0] not in known)]


def _to_workflow(entry: Entry) -> Workflow:
    return Workflow(
        name=entry.key,
        version=entry.version,
        spec=WorkflowSpec.FromString(entry.value),
        create_time=entry.create_time,
        update_time=entry.update_time,
    )
