"""Every server says how it is, over real channels, whatever else it refuses."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness.linked import until_linked

from pentad.chassis.v1 import status_service_pb2 as pb
from pentad.chassis.v1.status_service_pb2_grpc import StatusServiceStub
from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad_chassis.calls import Caller
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.errors import CircuitOpen, ServiceError, Unauthenticated, Unavailable
from pentad_chassis.health import HEALTHY, unhealthy
from pentad_chassis.peers import Enquiry
from pentad_chassis.server import Context, serving
from pentad_chassis.status_servicer import survey
from pentad_chassis.telemetry import Telemetry, open_telemetry, silent_telemetry

ENTRY = "pentad.state.v1.EntryService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REQUEST = entries.GetEntryRequest(scope="s", key="k")


class Entries(entries_grpc.EntryServiceServicer):
    """Answers when it is let."""

    def __init__(self) -> None:
        self.begun, self.finish = asyncio.Event(), asyncio.Event()
        self.finish.set()

    async def GetEntry(
        self, request: entries.GetEntryRequest, context: Context
    ) -> entries.GetEntryResponse:
        self.begun.set()
        await self.finish.wait()
        return entries.GetEntryResponse()


@asynccontextmanager
async def server(
    address: str, telemetry: Telemetry, servicer: Entries | None = None, **settings: Any
) -> AsyncIterator[None]:
    add = partial(entries_grpc.add_EntryServiceServicer_to_server, servicer or Entries())
    async with serving(Settings(address=address, **settings), telemetry, [add]):
        yield


async def ask(address: str, depth: int = 0, **options: Any) -> list[pb.ServiceStatus]:
    async with grpc.aio.insecure_channel(address) as channel:
        response = await StatusServiceStub(channel).GetStatus(
            pb.GetStatusRequest(depth=depth), timeout=5.0, **options
        )
    return list(response.services)


async def health_of(address: str, name: str = "") -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        response = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5.0)
    return int(response.status)


async def until_health(address: str, status: int, name: str = "") -> None:
    async with asyncio.timeout(10):
        while await health_of(address, name) != status:  # noqa: ASYNC110 - over the wire
            await asyncio.sleep(0.02)


def reasons(status: pb.ServiceStatus) -> dict[str, str]:
    return {c.name: c.reason for c in status.conditions if c.level != pb.LEVEL_HEALTHY}


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"unix:{tmp_path_factory.mktemp('s')}/s"


async def test_a_server_says_how_it_is(address: str) -> None:
    async with server(address, silent_telemetry("state")):
        (status,) = await ask(address)

    assert status.service == "state"
    assert status.level == pb.LEVEL_HEALTHY
    assert [c.name for c in status.conditions] == ["calls in hand"]
    assert abs(status.start_time.seconds - time.time()) < 60


async def test_health_follows_and_a_stop_wins(address: str) -> None:
    telemetry, found = silent_telemetry("state"), [HEALTHY]
    telemetry.health.watch("store", lambda: found[0])
    async with grpc.aio.insecure_channel(address) as channel:
        async with server(address, telemetry, drain_delay_s=0.2):
            assert await health_of(address, ENTRY) == SERVING
            found[0] = unhealthy("gone")
            for name in ("", ENTRY):
                await until_health(address, NOT_SERVING, name)
            (status,) = await ask(address)
            assert (status.level, reasons(status)) == (pb.LEVEL_UNHEALTHY, {"store": "gone"})

            found[0] = HEALTHY
            await until_health(address, SERVING, ENTRY)
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watched = stub.Watch(health_pb2.HealthCheckRequest(service=ENTRY))
            assert (await watched.read()).status == SERVING
        assert (await watched.read()).status == NOT_SERVING


async def test_a_full_server_still_says_how_it_is(address: str, link: bool) -> None:
    servicer, caller = Entries(), silent_telemetry("test")
    servicer.finish.clear()
    async with (
        server(address, silent_telemetry("state"), servicer, max_in_flight=1),
        open_channel("state", address, Settings(link=link), caller) as channel,
    ):
        if link:
            await until_linked(channel, caller, "state")
        call = asyncio.ensure_future(entries_grpc.EntryServiceStub(channel).GetEntry(REQUEST))
        await asyncio.wait_for(servicer.begun.wait(), 5)

        (status,) = await ask(address)

        assert status.level == pb.LEVEL_DEGRADED
        assert reasons(status) == {"calls in hand": "1 of 1 unary calls"}
        assert await health_of(address) == SERVING, "a full server is not a broken one"
        servicer.finish.set()
        await call


async def test_an_open_circuit_degrades_the_caller_and_is_no_matter_for_the_probe(
    address: str, link: bool
) -> None:
    caller = silent_telemetry("gateway")
    # Long enough to look at it; a caller's own breaker tries again after two seconds.
    settings = Settings(breaker_reset_s=60.0, link=link)
    async with open_channel("state", address, settings, caller) as channel:
        stub = entries_grpc.EntryServiceStub(channel)
        for _ in range(10):
            await survey(caller.health, 1)
        with pytest.raises(Unavailable) as first:
            await stub.GetEntry(REQUEST)
        assert first.value.reason != CircuitOpen.reason, "probes in vain do not open it"

        error: ServiceError = first.value
        while error.reason != CircuitOpen.reason:
            with pytest.raises(Unavailable) as caught:
                await stub.GetEntry(REQUEST)
            error = caught.value
        gateway, state = await survey(caller.health, 1)
        assert gateway.level == pb.LEVEL_DEGRADED
        assert reasons(gateway)["peer state"].startswith("circuit open, next attempt in ")
        assert (state.service, state.instance) == ("state", address)
        assert (state.level, state.version) == (pb.LEVEL_UNHEALTHY, "")
        assert reasons(state) == {"asked by gateway": "cannot be reached"}

        async with server(address, silent_telemetry("state")):
            gateway, state = await survey(caller.health, 1)
            assert state.level == pb.LEVEL_HEALTHY, "an open circuit does not stop a probe"
            assert gateway.level == pb.LEVEL_DEGRADED, "nor does a probe close it"
    assert caller.health.conditions() == {}, "a closed channel leads to nobody"


async def test_a_caller_with_nothing_to_ask_recovers_by_itself(address: str, link: bool) -> None:
    caller = silent_telemetry("gateway")
    settings = Settings(breaker_reset_s=0.1, link=link)
    async with open_channel("state", address, settings, caller) as channel:
        for _ in range(6):
            with pytest.raises(Unavailable):
                await entries_grpc.EntryServiceStub(channel).GetEntry(REQUEST)
        assert caller.health.conditions()["peer state"] != HEALTHY

        async with server(address, silent_telemetry("state")), asyncio.timeout(10):
            while caller.health.conditions()["peer state"] != HEALTHY:  # noqa: ASYNC110 - gRPC's
                await asyncio.sleep(0.02)


async def test_a_silent_peer_holds_nobody_up_and_is_told_of_from_two_hops_away(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The one in the middle answers in time, though its own peer never does."""
    folder = tmp_path_factory.mktemp("s")
    middle, address = silent_telemetry("orchestrator"), f"unix:{folder}/o"
    with socket.socket(socket.AF_UNIX) as hole:
        hole.bind(f"{folder}/e")
        hole.listen()
        async with (
            open_channel("executor", f"unix:{folder}/e", Settings(), middle),
            server(address, middle),
        ):
            edge = silent_telemetry("gateway")
            async with open_channel("orchestrator", address, Settings(), edge):
                begun = time.monotonic()
                gateway, orchestrator, executor = await survey(edge.health, 2)

    assert time.monotonic() - begun < 2.0
    assert gateway.level == orchestrator.level == pb.LEVEL_HEALTHY
    assert (executor.service, executor.level) == ("executor", pb.LEVEL_UNHEALTHY)
    assert reasons(executor) == {"asked by orchestrator": "no answer within 1.0 s"}


async def test_at_the_public_edge_a_key_is_asked_for(address: str) -> None:
    async def authenticate(_: str, metadata: Mapping[str, str]) -> Caller:
        if metadata.get("authorization") != "Bearer good":
            raise Unauthenticated("no key")
        return Caller("acme", "ci")

    edge = silent_telemetry("gateway")
    async with serving(Settings(address=address), edge, [], authenticate):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(address)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED

        (status,) = await ask(address, metadata=(("authorization", "Bearer good"),))
        assert status.service == "gateway"


async def test_a_probe_leaves_no_trace(address: str) -> None:
    edge, state = open_telemetry("gateway"), open_telemetry("state")
    async with (
        server(address, state),
        open_channel("state", address, Settings(), edge),
    ):
        with edge.span("root"):
            await survey(edge.health, 1)

    assert [span.name for span in edge.spans.take()] == ["root"]
    assert state.spans.take() == []


async def test_a_peer_that_listens_on_one_of_a_host_s_two_addresses_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(_host: str, port: str, **_: object) -> list[tuple[object, ...]]:
        found = (("127.0.0.1", int(port)), ("::1", int(port), 0, 0))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    enquiry = Enquiry("gateway", "state", f"state:{port}", None)

    async with serving(Settings(address=f"127.0.0.1:{port}"), silent_telemetry("state"), []):
        assert [s.level for s in await enquiry(0, 5.0)] == [pb.LEVEL_HEALTHY]

    assert [s.level for s in await enquiry(0, 5.0)] == [pb.LEVEL_UNHEALTHY] * 2
