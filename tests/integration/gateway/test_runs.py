"""Runs through the public API."""

import asyncio
from collections.abc import AsyncIterable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from integration.gateway.client import (
    Gateway,
    bearer,
    key_of,
    open_client,
    reason,
    violations,
)
from integration.gateway.fakes import TRACE_ID, Peers

from pentad.gateway.v1 import run_service_pb2 as pb
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.gateway.v1.trace_service_pb2 import GetRunTraceRequest
from pentad.gateway.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad.orchestrator.v1 import orchestrator_service_pb2 as orchestrator_pb
from pentad.state.v1 import run_service_pb2 as state_pb
from pentad.state.v1.run_pb2 import RunSpec, RunStatus
from pentad_chassis.telemetry import silent_telemetry
from pentad_gateway.app import open_app
from pentad_gateway.config import Config

SPEC = RunSpec(agent="clerk", input="hello")
TAIL = pb.TailRunRequest(run_id="01run")
KINDS = ["run_created", "run_started", "turn_started", "turn_completed", "run_completed"]


async def seqs(call: AsyncIterable[Any]) -> list[int]:
    return [event.seq async for response in call for event in response.events]


async def test_a_run_goes_to_the_orchestrator_under_the_callers_tenant(gateway: Gateway) -> None:
    runs = RunServiceStub(gateway.channel)
    request = pb.CreateRunRequest(spec=SPEC, request_id="r-1")

    created = await runs.CreateRun(request, metadata=gateway.auth)

    assert created.run.run_id == "01run"
    assert gateway.peers.asked == [
        orchestrator_pb.CreateRunRequest(tenant="default", spec=SPEC, request_id="r-1")
    ]


async def test_a_request_without_an_id_gets_one_of_its_own(gateway: Gateway) -> None:
    runs = RunServiceStub(gateway.channel)
    for _ in range(2):
        await runs.CreateRun(pb.CreateRunRequest(spec=SPEC), metadata=gateway.auth)

    first, second = (asked.request_id for asked in gateway.peers.asked)  # type: ignore[attr-defined]
    assert first
    assert second
    assert first != second


async def test_a_bad_request_names_every_field_and_asks_nobody(gateway: Gateway) -> None:
    runs = RunServiceStub(gateway.channel)
    request = pb.CreateRunRequest(spec=RunSpec(session_id="?"), request_id="x" * 129)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runs.CreateRun(request, metadata=gateway.auth)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason(refused.value) == "REQUEST_INVALID"
    assert violations(refused.value) == [
        "spec.input",
        "spec.session_id",
        "spec.agent",
        "request_id",
    ]
    assert gateway.peers.asked == []


async def test_a_request_with_hundreds_of_faults_still_gets_its_answer(gateway: Gateway) -> None:
    request = pb.ExecuteRunRequest()
    for _ in range(100):
        request.spec.multi_step.steps.add(name="?", agent="?")

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await seqs(RunServiceStub(gateway.channel).ExecuteRun(request, metadata=gateway.auth))

    assert reason(refused.value) == "REQUEST_INVALID"
    assert len(violations(refused.value)) == 20


async def test_a_run_is_executed_and_streamed_to_its_end(gateway: Gateway) -> None:
    await gateway.peers.runs.append(*KINDS[:2])
    request = pb.ExecuteRunRequest(spec=SPEC)
    call = aiter(RunServiceStub(gateway.channel).ExecuteRun(request, metadata=gateway.auth))

    assert (await anext(call)).events[0].HasField("run_created")
    await gateway.peers.runs.append(*KINDS[2:])

    assert await seqs(call) == [3, 4, 5]


async def test_a_tail_begins_behind_its_cursor(gateway: Gateway) -> None:
    await gateway.peers.runs.append(*KINDS)
    request = pb.TailRunRequest(run_id="01run", after="c3")

    tail = RunServiceStub(gateway.channel).TailRun(request, metadata=gateway.auth)

    assert await seqs(tail) == [4, 5]


@pytest.mark.parametrize("breaks", [[0], [1], [3, 0, 1], [1, 1, 1, 1, 1]])
async def test_a_tail_survives_streams_that_break(gateway: Gateway, breaks: list[int]) -> None:
    await gateway.peers.runs.append(*KINDS)
    gateway.peers.runs.breaks = breaks

    tail = RunServiceStub(gateway.channel).TailRun(TAIL, metadata=gateway.auth)

    assert await seqs(tail) == [1, 2, 3, 4, 5]


async def test_a_tail_survives_a_restart_of_the_state_service(peers: Peers, config: Config) -> None:
    await peers.runs.append(*KINDS[:2])
    async with AsyncExitStack() as state:
        await state.enter_async_context(peers.open_state())
        async with open_app(config, silent_telemetry("gateway")), open_client(config) as channel:
            call = RunServiceStub(channel).TailRun(TAIL, metadata=bearer(key_of(config)))
            tail = aiter(call)
            seen = [event.seq for event in (await anext(tail)).events]

            await state.aclose()
            await state.enter_async_context(peers.open_state())
            await peers.runs.append(*KINDS[2:])

            assert seen + await seqs(tail) == [1, 2, 3, 4, 5]


async def test_a_gateway_that_stops_sends_those_who_follow_elsewhere(
    peers: Peers, config: Config
) -> None:
    await peers.runs.append(*KINDS[:1])
    async with peers.open_state(), peers.open_others(), open_client(config) as channel:
        async with open_app(config, silent_telemetry("gateway")):
            runs, auth = RunServiceStub(channel), bearer(key_of(config))
            tails = [
                aiter(runs.TailRun(TAIL, metadata=auth)),
                aiter(runs.ExecuteRun(pb.ExecuteRunRequest(spec=SPEC), metadata=auth)),
            ]
            for tail in tails:
                await anext(tail)
        for tail in tails:
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await anext(tail)
            assert reason(ended.value) == "DRAINING"


async def test_a_client_that_does_not_read_holds_the_stream_back(gateway: Gateway) -> None:
    await gateway.peers.runs.append(*["run_started"] * 2000, size=64 * 1024)
    runs = RunServiceStub(gateway.channel)
    tail = aiter(runs.TailRun(TAIL, metadata=gateway.auth))
    await anext(tail)
    for _ in range(200):
        await runs.ListRuns(pb.ListRunsRequest(), metadata=gateway.auth)

    assert gateway.peers.runs.sent < 500


@pytest.mark.parametrize(
    "ask",
    [
        lambda stub, auth: stub.GetRun(pb.GetRunRequest(run_id="02other"), metadata=auth),
        lambda stub, auth: stub.WaitRun(pb.WaitRunRequest(run_id="02other"), metadata=auth),
        lambda stub, auth: anext(
            aiter(stub.TailRun(pb.TailRunRequest(run_id="02other"), metadata=auth))
        ),
    ],
)
async def test_the_state_services_errors_pass_through(
    gateway: Gateway, ask: Callable[..., Any]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(RunServiceStub(gateway.channel), gateway.auth)

    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert reason(refused.value) == "RUN_NOT_FOUND"


async def test_waiting_keeps_within_the_callers_deadline(gateway: Gateway) -> None:
    runs = RunServiceStub(gateway.channel)
    request = pb.WaitRunRequest(run_id="01run")
    await runs.WaitRun(request, metadata=gateway.auth)
    await runs.WaitRun(request, metadata=gateway.auth, timeout=10)
    request.timeout.FromSeconds(600)
    await runs.WaitRun(request, metadata=gateway.auth)
    await runs.WaitRun(request, metadata=gateway.auth, timeout=10)

    waits = [
        asked.timeout.ToNanoseconds() / 1e9
        for asked in gateway.peers.asked
        if isinstance(asked, state_pb.WaitRunRequest)
    ]
    assert waits[0::2] == [30, 600]
    assert all(5 < wait < 9.6 for wait in waits[1::2])


async def test_lists_are_the_callers_own_page(gateway: Gateway) -> None:
    request = pb.ListRunsRequest(
        state=RunStatus.STATE_FAILED, session_id="s", page_size=7, page_token="t"
    )
    page = await RunServiceStub(gateway.channel).ListRuns(request, metadata=gateway.auth)

    assert page.next_page_token == "more"
    assert gateway.peers.asked == [
        state_pb.ListRunsRequest(
            tenant="default",
            state=RunStatus.STATE_FAILED,
            session_id="s",
            page_size=7,
            page_token="t",
        )
    ]


async def test_a_cancel_goes_to_the_orchestrator(gateway: Gateway) -> None:
    request = pb.CancelRunRequest(run_id="01run", reason="enough")
    answer = await RunServiceStub(gateway.channel).CancelRun(request, metadata=gateway.auth)

    assert answer.run.cancel_requested
    assert gateway.peers.asked == [
        orchestrator_pb.CancelRunRequest(tenant="default", run_id="01run", reason="enough")
    ]


async def test_a_trace_is_reached_through_its_run(gateway: Gateway) -> None:
    traces = TraceServiceStub(gateway.channel)
    answer = await traces.GetRunTrace(GetRunTraceRequest(run_id="01run"), metadata=gateway.auth)
    assert answer.trace_id == TRACE_ID
    assert [span.trace_id for span in answer.spans] == [TRACE_ID]

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await traces.GetRunTrace(GetRunTraceRequest(run_id="02other"), metadata=gateway.auth)
    assert reason(refused.value) == "RUN_NOT_FOUND"


async def test_many_tails_of_one_run_see_the_same(gateway: Gateway) -> None:
    stub = RunServiceStub(gateway.channel)
    async with asyncio.TaskGroup() as group:
        tails = [
            group.create_task(seqs(stub.TailRun(TAIL, metadata=gateway.auth))) for _ in range(20)
        ]
        for kind in KINDS:
            await gateway.peers.runs.append(kind)

    assert all(tail.result() == [1, 2, 3, 4, 5] for tail in tails)
