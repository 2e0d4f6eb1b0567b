"""Who may call, as a client sees it."""

from io import StringIO
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from integration.gateway.client import Gateway, Metadata, bearer, key_of, open_client, reason
from integration.gateway.fakes import Peers

from pentad.gateway.v1.run_service_pb2 import ExecuteRunRequest, ListRunsRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad_chassis.telemetry import open_telemetry
from pentad_gateway.app import open_app
from pentad_gateway.auth import SCOPE, KeyHolder
from pentad_gateway.config import Config
from pentad_gateway.keys import digest, generate_key


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((), "API_KEY_MISSING"),
        ((("authorization", "Basic x"),), "API_KEY_MISSING"),
        (bearer("pentad_nonsense"), "API_KEY_INVALID"),
        (bearer(generate_key()), "API_KEY_INVALID"),
    ],
)
async def test_a_call_without_a_valid_key_is_refused(
    gateway: Gateway, metadata: Metadata, expected: str
) -> None:
    runs = RunServiceStub(gateway.channel)

    with pytest.raises(grpc.aio.AioRpcError) as unary:
        await runs.ListRuns(ListRunsRequest(), metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as stream:
        await anext(aiter(runs.ExecuteRun(ExecuteRunRequest(), metadata=metadata)))

    for refused in (unary.value, stream.value):
        assert refused.code() == grpc.StatusCode.UNAUTHENTICATED
        assert reason(refused) == expected
        assert "authorization: Bearer KEY" in (refused.details() or "")
    assert gateway.peers.asked == []


async def test_each_key_sees_its_own_tenant(gateway: Gateway) -> None:
    key = generate_key()
    holder = KeyHolder(tenant="acme", name="ci").model_dump_json().encode()
    gateway.peers.entries.values[SCOPE, digest(key)] = holder
    runs = RunServiceStub(gateway.channel)

    ours = await runs.ListRuns(ListRunsRequest(), metadata=gateway.auth)
    theirs = await runs.ListRuns(ListRunsRequest(), metadata=bearer(key))

    assert [run.run_id for run in ours.runs] == ["01run"]
    assert list(theirs.runs) == []
    assert [asked.tenant for asked in gateway.peers.asked] == ["default", "acme"]  # type: ignore[attr-defined]


async def test_a_key_is_looked_up_once_for_many_calls(gateway: Gateway) -> None:
    runs = RunServiceStub(gateway.channel)
    for _ in range(5):
        await runs.ListRuns(ListRunsRequest(), metadata=gateway.auth)

    assert gateway.peers.entries.look_ups == 1


async def test_health_and_reflection_need_no_key(gateway: Gateway) -> None:
    health: Any = health_pb2_grpc.HealthStub(gateway.channel)
    for service in ("", "pentad.gateway.v1.RunService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

    open_reflection: Any = reflection_pb2_grpc.ServerReflectionStub
    reflection = open_reflection(gateway.channel)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    listed = await anext(aiter(reflection.ServerReflectionInfo(iter([question]))))
    names = {service.name for service in listed.list_services_response.service}
    assert names >= {
        f"pentad.gateway.v1.{name}Service" for name in ("Run", "Agent", "Session", "Tool", "Trace")
    }


async def test_no_log_line_holds_a_key(peers: Peers, config: Config) -> None:
    log = StringIO()
    wrong = generate_key()
    telemetry = open_telemetry("gateway", "debug", log)
    async with (
        peers.open_state(),
        peers.open_others(),
        open_app(config, telemetry),
        open_client(config) as channel,
    ):
        runs = RunServiceStub(channel)
        key = key_of(config)
        await runs.ListRuns(ListRunsRequest(), metadata=bearer(key))
        with pytest.raises(grpc.aio.AioRpcError):
            await runs.ListRuns(ListRunsRequest(), metadata=bearer(wrong))

    assert "serving" in log.getvalue()
    assert "pentad_" not in log.getvalue()
