"""Pause and resume at the public edge: checked here, decided by the state service."""

import grpc
import pytest
from integration.gateway.client import Gateway, reason, violations

from pentad.gateway.v1 import run_service_pb2 as pb
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1 import run_service_pb2 as state_pb
from pentad.state.v1.run_pb2 import Settlement
from pentad_state.bounds import invalid
from pentad_state.errors import SettlementMissing

SETTLED = [Settlement(call_id=f"0.1.{i}", not_done=True) for i in range(2)]


async def refusal(gateway: Gateway, request: pb.ResumeRunRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await RunServiceStub(gateway.channel).ResumeRun(request, metadata=gateway.auth)
    return refused.value


async def test_a_pause_is_recorded_under_the_callers_tenant(gateway: Gateway) -> None:
    request = pb.PauseRunRequest(run_id="01run", reason="lunch")

    paused = await RunServiceStub(gateway.channel).PauseRun(request, metadata=gateway.auth)

    assert paused.run.run_id == "01run"
    assert gateway.peers.asked == [
        state_pb.RequestPauseRequest(tenant="default", run_id="01run", reason="lunch")
    ]


async def test_what_was_found_out_goes_to_the_state_service_which_decides(
    gateway: Gateway,
) -> None:
    """Nothing is looked up before: the request may be the repeat of one that was carried out."""
    request = pb.ResumeRunRequest(
        run_id="01run", request_id="r-1", settlements=SETTLED, reason="asked the bank"
    )

    await RunServiceStub(gateway.channel).ResumeRun(request, metadata=gateway.auth)

    (asked,) = gateway.peers.asked
    assert isinstance(asked, state_pb.ResumeRunRequest)
    assert (asked.tenant, asked.run_id, asked.resume_id) == ("default", "01run", "r-1")
    assert list(asked.resumed.settlements) == SETTLED
    assert asked.resumed.reason == "asked the bank"


async def test_a_settlement_that_is_missing_is_named(gateway: Gateway) -> None:
    gateway.peers.runs.refusal = SettlementMissing("01run", "0.1.1", "pay", 1)

    error = await refusal(gateway, pb.ResumeRunRequest(run_id="01run", settlements=SETTLED[:1]))

    assert reason(error) == "SETTLEMENT_MISSING"
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "'0.1.1' of 'pay'" in str(error.details())


async def test_a_settlement_of_another_call_is_refused_under_its_public_name(
    gateway: Gateway,
) -> None:
    gateway.peers.runs.refusal = invalid("resumed.settlements[2].call_id", "must be one of them")
    other = Settlement(call_id="9.9.9", not_done=True)

    error = await refusal(
        gateway, pb.ResumeRunRequest(run_id="01run", settlements=[*SETTLED, other])
    )

    assert reason(error) == "REQUEST_INVALID"
    assert violations(error) == ["settlements[2].call_id"]


async def test_nobody_pauses_or_resumes_the_run_of_another_tenant(gateway: Gateway) -> None:
    gateway.peers.runs.owner = "somebody else"

    error = await refusal(gateway, pb.ResumeRunRequest(run_id="01run"))

    assert reason(error) == "RUN_NOT_FOUND"
