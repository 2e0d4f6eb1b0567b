"""Approvals through the public API: listed, looked at and decided by whoever has a key."""

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from integration.gateway.client import Gateway, reason, violations
from integration.gateway.fakes import ApprovalDecided

from pentad.gateway.v1 import approval_service_pb2 as pb
from pentad.gateway.v1.approval_service_pb2_grpc import ApprovalServiceStub
from pentad.state.v1 import approval_service_pb2 as state_pb
from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.message_pb2 import Payload
from pentad_chassis.errors import FieldViolation, InvalidArgument

APPROVAL_ID = "01run/run.1.0"


def yes(**more: object) -> pb.DecideApprovalRequest:
    return pb.DecideApprovalRequest(
        approval_id=APPROVAL_ID,
        verdict=Decision.VERDICT_APPROVED,
        **more,  # type: ignore[arg-type]
    )


async def test_a_decision_carries_the_name_of_the_callers_key(gateway: Gateway) -> None:
    approvals = ApprovalServiceStub(gateway.channel)
    digest = b"\x01" * 32
    request = yes(comment="fine", arguments_digest=digest, request_id="mine")

    decided = await approvals.DecideApproval(request, metadata=gateway.auth)

    assert decided.approval.state == Approval.STATE_APPROVED
    asked = gateway.peers.asked[-1]
    assert isinstance(asked, state_pb.DecideApprovalRequest)
    assert (asked.tenant, asked.approval_id) == ("default", APPROVAL_ID)
    assert asked.decision_id == f"{asked.decision.decided_by}/mine"
    assert asked.decision.decided_by == "first"
    assert asked.decision.comment == "fine"
    assert not asked.decision.HasField("answer")
    assert asked.arguments_digest == digest


async def test_approvals_are_listed_and_read_for_the_callers_tenant(gateway: Gateway) -> None:
    approvals = ApprovalServiceStub(gateway.channel)

    page = await approvals.ListApprovals(
        pb.ListApprovalsRequest(
            state=Approval.STATE_PENDING, run_id="01run", page_size=7, page_token="t"
        ),
        metadata=gateway.auth,
    )
    got = await approvals.GetApproval(
        pb.GetApprovalRequest(approval_id=APPROVAL_ID), metadata=gateway.auth
    )

    assert [approval.approval_id for approval in page.approvals] == [APPROVAL_ID]
    assert page.next_page_token == "more"
    assert got.approval.approval_id == APPROVAL_ID
    assert gateway.peers.asked == [
        state_pb.ListApprovalsRequest(
            tenant="default",
            state=Approval.STATE_PENDING,
            run_id="01run",
            page_size=7,
            page_token="t",
        ),
        state_pb.GetApprovalRequest(tenant="default", approval_id=APPROVAL_ID),
    ]


async def test_an_answer_that_does_not_fit_is_not_passed_on(gateway: Gateway) -> None:
    approval = gateway.peers.approvals.approval
    approval.kind = Approval.KIND_QUESTION
    schema = Struct()
    schema.update({"type": "object", "properties": {"n": {"maximum": 3}}})
    approval.answer_schema.CopyFrom(schema)
    approvals = ApprovalServiceStub(gateway.channel)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await approvals.DecideApproval(yes(answer=Payload(text='{"n": 4}')), metadata=gateway.auth)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(refused.value) == "ANSWER_INVALID"
    assert violations(refused.value) == ["answer.n"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await approvals.DecideApproval(yes(), metadata=gateway.auth)
    assert reason(refused.value) == "REQUEST_INVALID"
    assert not any(isinstance(a, state_pb.DecideApprovalRequest) for a in gateway.peers.asked)
    await approvals.DecideApproval(yes(answer=Payload(text='{"n": 3}')), metadata=gateway.auth)


async def test_who_comes_late_hears_so_whatever_they_say(gateway: Gateway) -> None:
    gateway.peers.approvals.approval.state = Approval.STATE_REFUSED
    gateway.peers.approvals.refusal = ApprovalDecided("somebody was first")
    approvals = ApprovalServiceStub(gateway.channel)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await approvals.DecideApproval(yes(answer=Payload(text="x")), metadata=gateway.auth)

    assert reason(refused.value) == "APPROVAL_DECIDED"


async def test_what_only_the_store_sees_is_said_of_the_callers_fields(gateway: Gateway) -> None:
    error = InvalidArgument("no such effect")
    error.violations = (FieldViolation("decision.settlements[0].call_id", "must be one of them"),)
    gateway.peers.approvals.refusal = error

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ApprovalServiceStub(gateway.channel).DecideApproval(yes(), metadata=gateway.auth)

    assert reason(refused.value) == "REQUEST_INVALID"
    assert violations(refused.value) == ["settlements[0].call_id"]


async def test_without_a_key_nothing_is_decided(gateway: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ApprovalServiceStub(gateway.channel).DecideApproval(yes())

    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert gateway.peers.asked == []
