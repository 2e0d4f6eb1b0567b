"""The state of the suite, as a client sees it."""

import grpc
import pytest
from integration.gateway.client import Gateway, reason

from pentad.chassis.v1 import status_service_pb2 as pb
from pentad.chassis.v1.status_service_pb2_grpc import StatusServiceStub
from pentad.gateway.v1.system_service_pb2 import GetSystemStatusRequest
from pentad.gateway.v1.system_service_pb2_grpc import SystemServiceStub


async def test_every_service_that_answers_is_told_of(gateway: Gateway) -> None:
    system = SystemServiceStub(gateway.channel)

    found = await system.GetSystemStatus(GetSystemStatusRequest(), metadata=gateway.auth)

    assert [s.service for s in found.services] == ["gateway", "orchestrator", "state", "tools"]
    assert found.level == pb.LEVEL_HEALTHY


async def test_how_the_suite_is_is_told_to_those_with_a_key_only(gateway: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as system:
        await SystemServiceStub(gateway.channel).GetSystemStatus(GetSystemStatusRequest())
    with pytest.raises(grpc.aio.AioRpcError) as status:
        await StatusServiceStub(gateway.channel).GetStatus(pb.GetStatusRequest(depth=2))

    for refused in (system.value, status.value):
        assert refused.code() == grpc.StatusCode.UNAUTHENTICATED
        assert reason(refused) == "API_KEY_MISSING"
