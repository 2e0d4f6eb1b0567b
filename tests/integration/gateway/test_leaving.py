"""Callers that leave the stream of a run: it goes on, unless they asked for its end."""

import asyncio
from collections.abc import Callable

import grpc
from harness.fakes import until
from harness.faults import DROP, open_proxy
from integration.gateway.client import Gateway, bearer, key_of, open_client
from integration.gateway.fakes import Peers

from pentad.gateway.v1 import run_service_pb2 as pb
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.orchestrator.v1.orchestrator_service_pb2 import CancelRunRequest
from pentad.state.v1.run_pb2 import RunSpec
from pentad_chassis.telemetry import silent_telemetry
from pentad_gateway.app import open_app
from pentad_gateway.config import Config

SPEC = RunSpec(agent="clerk", input="hello")
BOUND = pb.ExecuteRunRequest(spec=SPEC, request_id="r-1", cancel_on_disconnect=True)
CANCEL = CancelRunRequest(tenant="default", run_id="01run", reason="the caller left")


def follows(peers: Peers) -> Callable[[], bool]:
    """Return whether somebody follows the run at the state service."""
    return lambda: any(type(asked).__name__ == "TailRunRequest" for asked in peers.asked)


async def test_leaving_ends_the_run_of_a_caller_that_asked_for_it(gateway: Gateway) -> None:
    await gateway.peers.runs.append("run_created")
    call = RunServiceStub(gateway.channel).ExecuteRun(BOUND, metadata=gateway.auth)
    await anext(aiter(call))

    call.cancel()

    await until(lambda: CANCEL in gateway.peers.asked)


async def test_running_out_of_time_is_leaving(gateway: Gateway) -> None:
    await gateway.peers.runs.append("run_created")
    runs = RunServiceStub(gateway.channel)
    call = runs.ExecuteRun(BOUND, metadata=gateway.auth, timeout=1.0)
    await anext(aiter(call))

    await until(lambda: CANCEL in gateway.peers.asked)


async def test_a_connection_that_breaks_is_leaving(gateway: Gateway, config: Config) -> None:
    await gateway.peers.runs.append("run_created")
    async with (
        open_proxy(config.address) as proxy,
        grpc.aio.insecure_channel(proxy.address) as channel,
    ):
        call = RunServiceStub(channel).ExecuteRun(BOUND, metadata=gateway.auth)
        await anext(aiter(call))

        await proxy.begin(DROP)

        await until(lambda: CANCEL in gateway.peers.asked)


async def test_leaving_while_events_wait_to_be_read_is_leaving(gateway: Gateway) -> None:
    await gateway.peers.runs.append(*["run_started"] * 400, size=10_000)
    call = RunServiceStub(gateway.channel).ExecuteRun(BOUND, metadata=gateway.auth)
    await anext(aiter(call))

    call.cancel()

    await until(lambda: CANCEL in gateway.peers.asked)


async def test_others_leave_their_run_alone(gateway: Gateway) -> None:
    await gateway.peers.runs.append("run_created")
    request = pb.ExecuteRunRequest(spec=SPEC)
    runs = RunServiceStub(gateway.channel)
    call = runs.ExecuteRun(request, metadata=gateway.auth)
    bound = runs.ExecuteRun(BOUND, metadata=gateway.auth)
    for each in (call, bound):
        await anext(aiter(each))
    before = len(gateway.peers.asked)

    call.cancel()
    bound.cancel()
    await until(lambda: CANCEL in gateway.peers.asked)

    assert [type(a).__name__ for a in gateway.peers.asked[before:]] == [
        "CreateRunRequest",
        "CancelRunRequest",
    ]


async def test_a_stream_read_to_its_end_was_not_left(gateway: Gateway) -> None:
    await gateway.peers.runs.append("run_created", "run_completed")

    call = RunServiceStub(gateway.channel).ExecuteRun(BOUND, metadata=gateway.auth)
    events = [event async for response in call for event in response.events]

    assert len(events) == 2
    assert CANCEL not in gateway.peers.asked


async def test_a_gateway_that_stops_is_no_caller_that_leaves(peers: Peers, config: Config) -> None:
    await peers.runs.append("run_created")
    async with peers.open_state(), peers.open_others():
        async with open_app(config, silent_telemetry("gateway")), open_client(config) as channel:
            auth = bearer(key_of(config))
            call = aiter(RunServiceStub(channel).ExecuteRun(BOUND, metadata=auth))
            await anext(call)
            await until(follows(peers))
            waiting = asyncio.ensure_future(anext(call))
        assert isinstance(waiting.exception(), grpc.aio.AioRpcError)

    assert CANCEL not in peers.asked
