"""Pause and resume at the public edge: checked here, decided by the state service."""

import grpc
import pytest
from integration.gateway.client import Gateway, reason, violations

from pentad.gateway.v1 import run_service_pb2 as pb
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1 import run_service_pb2 as state_pb
from pentad.state.v1.run_pb2 import Pause, RunStatus, Settlement, UnknownEffect

PARKED = RunStatus(
    state=RunStatus.STATE_PAUSED,
    pause=Pause(
        reason="EFFECT_OUTCOME_UNKNOWN",
        unknown_effects=[UnknownEffect(call_id=f"0.1.{i}", tool="pay") for i in range(2)],
    ),
)
SETTLED = [Settlement(call_id=f"0.1.{i}", not_done=True) for i in range(2)]


async def refusal(gateway: Gateway, request: pb.ResumeRunRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await RunServiceStub(gateway.channel).ResumeRun(request, metadata=gateway.auth)
    return refused.value


def resumes(gateway: Gateway) -> list[state_pb.ResumeRunRequest]:
    return [asked for asked in gateway.peers.asked if isinstance(asked, state_pb.ResumeRunRequest)]


async def test_a_pause_is_recorded_under_the_callers_tenant(gateway: Gateway) -> None:
    request = pb.PauseRunRequest(run_id="01run", reason="lunch")

    paused = await RunServiceStub(gateway.channel).PauseRun(request, metadata=gateway.auth)

    assert paused.run.run_id == "01run"
    assert gateway.peers.asked == [
        state_pb.RequestPauseRequest(tenant="default", run_id="01run", reason="lunch")
    ]


async def test_a_run_that_waits_for_a_person_goes_on_once_all_is_settled(gateway: Gateway) -> None:
    gateway.peers.runs.status.CopyFrom(PARKED)
    request = pb.ResumeRunRequest(
        run_id="01run", request_id="r-1", settlements=SETTLED, reason="asked the bank"
    )

    await RunServiceStub(gateway.channel).ResumeRun(request, metadata=gateway.auth)

    (asked,) = resumes(gateway)
    assert (asked.tenant, asked.run_id, asked.resume_id) == ("default", "01run", "r-1")
    assert list(asked.resumed.settlements) == SETTLED
    assert asked.resumed.reason == "asked the bank"


async def test_a_settlement_that_is_missing_is_named(gateway: Gateway) -> None:
    gateway.peers.runs.status.CopyFrom(PARKED)

    error = await refusal(gateway, pb.ResumeRunRequest(run_id="01run", settlements=SETTLED[:1]))

    assert reason(error) == "SETTLEMENT_MISSING"
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "'0.1.1' of 'pay'" in str(error.details())
    assert resumes(gateway) == []


async def test_a_settlement_of_another_call_is_refused(gateway: Gateway) -> None:
    gateway.peers.runs.status.CopyFrom(PARKED)
    other = Settlement(call_id="9.9.9", not_done=True)

    error = await refusal(
        gateway, pb.ResumeRunRequest(run_id="01run", settlements=[*SETTLED, other])
    )

    assert violations(error) == ["settlements[2].call_id"]
    assert resumes(gateway) == []


async def test_of_a_run_that_is_not_paused_the_state_service_decides(gateway: Gateway) -> None:
    """The request may be the repeat of one whose answer was lost."""
    gateway.peers.runs.status.state = RunStatus.STATE_RUNNING

    request = pb.ResumeRunRequest(run_id="01run", settlements=SETTLED)
    await RunServiceStub(gateway.channel).ResumeRun(request, metadata=gateway.auth)

    assert len(resumes(gateway)) == 1


async def test_nobody_pauses_or_resumes_the_run_of_another_tenant(gateway: Gateway) -> None:
    gateway.peers.runs.owner = "somebody else"

    error = await refusal(gateway, pb.ResumeRunRequest(run_id="01run"))

    assert reason(error) == "RUN_NOT_FOUND"
    assert resumes(gateway) == []
