"""A client of the public API may carry its calls over a link: under one key, and within bounds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from harness.linked import until_linked
from integration.gateway.client import Gateway, Metadata, bearer, reason

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse
from pentad.chassis.v1.link_service_pb2_grpc import LinkServiceStub
from pentad.gateway.v1.run_service_pb2 import CreateRunRequest, ListRunsRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.run_pb2 import RunSpec
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.errors import ResourceExhausted, Unauthenticated
from pentad_chassis.telemetry import silent_telemetry
from pentad_gateway.auth import SCOPE, KeyHolder
from pentad_gateway.config import Config
from pentad_gateway.keys import digest, generate_key

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub


@asynccontextmanager
async def client(config: Config, metadata: Metadata) -> AsyncIterator["RunServiceAsyncStub"]:
    """Call the gateway over a link, which is there."""
    telemetry = silent_telemetry("client")
    async with open_channel(
        "gateway", config.address, Settings(), telemetry, metadata=metadata
    ) as channel:
        await until_linked(channel, telemetry, "gateway")
        yield RunServiceStub(channel)


def enrol(gateway: Gateway, tenant: str) -> tuple[str, Metadata]:
    """Return the name of a new key's entry, and the credential."""
    key = generate_key()
    holder = KeyHolder(tenant=tenant, name="ci").model_dump_json().encode()
    gateway.peers.entries.values[SCOPE, digest(key)] = holder
    return digest(key), bearer(key)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [((), "API_KEY_MISSING"), (bearer(generate_key()), "API_KEY_INVALID")],
)
async def test_a_link_without_a_valid_key_is_refused(
    gateway: Gateway, metadata: Metadata, expected: str
) -> None:
    stream = LinkServiceStub(gateway.channel).Connect(metadata=metadata)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stream.read()

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason(refused.value) == expected


async def test_each_link_is_of_the_tenant_of_its_key(gateway: Gateway, config: Config) -> None:
    _, acme = enrol(gateway, "acme")
    async with client(config, gateway.auth) as ours, client(config, acme) as theirs:
        gateway.peers.asked.clear()
        await asyncio.gather(
            *(runs.ListRuns(ListRunsRequest()) for _ in range(10) for runs in (ours, theirs))
        )

    tenants = [asked.tenant for asked in gateway.peers.asked]  # type: ignore[attr-defined]
    assert sorted(tenants) == ["acme"] * 10 + ["default"] * 10


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a gateway that looks up each key each time."""
    monkeypatch.setattr("pentad_gateway.auth.KNOWN_HOLD_S", 0.0)


@pytest.mark.usefixtures("forgetful")
async def test_a_key_that_is_withdrawn_is_refused_on_links_too(
    gateway: Gateway, config: Config
) -> None:
    name, acme = enrol(gateway, "acme")
    async with client(config, acme) as runs:
        await runs.ListRuns(ListRunsRequest())
        del gateway.peers.entries.values[SCOPE, name]

        with pytest.raises(Unauthenticated):
            await runs.ListRuns(ListRunsRequest())


async def test_a_request_is_bounded_as_by_itself(gateway: Gateway, config: Config) -> None:
    async with client(config, gateway.auth) as runs:
        huge = RunSpec(agent="clerk", input="x" * (5 * 1024 * 1024))

        with pytest.raises(ResourceExhausted, match="larger than"):
            await runs.CreateRun(CreateRunRequest(spec=huge))

        await runs.ListRuns(ListRunsRequest())


async def test_few_requests_may_be_there_in_part(gateway: Gateway) -> None:
    """Each may hold 4 MiB: one who begins many and finishes none is refused."""
    stream = LinkServiceStub(gateway.channel).Connect(metadata=gateway.auth)
    await stream.read()
    batch = ConnectRequest()
    for call_id in range(1, 100):
        begin = batch.frames.add(call_id=call_id).begin
        begin.method = "/pentad.gateway.v1.RunService/ListRuns"
        begin.more = True
        begin.request = b"x" * 1000
    await stream.write(batch)

    refused: list[int] = []
    async with asyncio.timeout(20.0):
        while len(refused) < 99 - 16:
            answer = await stream.read()
            assert isinstance(answer, ConnectResponse)
            refused += [frame.call_id for frame in answer.frames if frame.end.status]
    stream.cancel()
    assert refused == list(range(17, 100))
