"""What a call goes through on its way to a real server and back, on both transports."""

import asyncio
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness.one_hop import OneHop

from pentad.state.v1 import entry_service_pb2 as entries
from pentad.state.v1 import run_service_pb2 as runs
from pentad_chassis.calls import unrepeated
from pentad_chassis.channel import is_idempotent, reading
from pentad_chassis.config import Settings
from pentad_chassis.errors import (
    CircuitOpen,
    DeadlineExceeded,
    Internal,
    NotFound,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from pentad_chassis.policy import ATTEMPTS
from pentad_chassis.server import AddressInUse, remaining_s, serving
from pentad_chassis.telemetry import (
    current_traceparent,
    open_telemetry,
    silent_telemetry,
)


@pytest.fixture
def hop(tmp_path_factory: pytest.TempPathFactory, link: bool) -> OneHop:
    return OneHop(tmp_path_factory.mktemp("h"), link=link)


REQUEST = entries.GetEntryRequest(scope="s", key="k")


async def test_an_answer_comes_back(hop: OneHop) -> None:
    async with hop.server(), hop.stub() as stub:
        assert (await stub.GetEntry(REQUEST)).entry.key == "k"


async def test_an_error_keeps_class_reason_and_metadata(hop: OneHop) -> None:
    class EntryNotFound(NotFound):
        reason = "ENTRY_NOT_FOUND"

    async def refuse(_: object) -> entries.GetEntryResponse:
        raise EntryNotFound("no entry 'k'", key="k")

    hop.entries.answer = refuse
    async with hop.server(), hop.stub() as stub:
        with pytest.raises(NotFound) as caught:
            await stub.GetEntry(REQUEST)

    assert caught.value.reason == "ENTRY_NOT_FOUND"
    assert caught.value.metadata == {"key": "k"}
    assert hop.entries.calls == 1


async def test_a_defect_tells_nothing_of_itself(hop: OneHop) -> None:
    async def fail(_: object) -> entries.GetEntryResponse:
        raise KeyError("secret")

    hop.entries.answer = fail
    async with hop.server(), hop.stub() as stub:
        with pytest.raises(Internal) as caught:
            await stub.GetEntry(REQUEST)

    assert "secret" not in str(caught.value)


async def test_an_idempotent_call_outlives_a_hiccup(hop: OneHop) -> None:
    async def hiccup(request: entries.GetEntryRequest) -> entries.GetEntryResponse:
        if hop.entries.calls < 3:
            raise Unavailable("not now")
        return await hop.entries.echo(request)

    hop.entries.answer = hiccup
    async with hop.server(), hop.stub() as stub:
        await stub.GetEntry(REQUEST)

    assert hop.entries.calls == 3


async def test_a_call_that_may_not_be_repeated_is_sent_once(hop: OneHop) -> None:
    async with hop.server(), hop.stub() as stub:
        with pytest.raises(Unavailable):
            await stub.PutEntry(entries.PutEntryRequest())

    assert hop.entries.calls == 1


async def test_a_caller_may_have_a_repeatable_call_sent_once(hop: OneHop) -> None:
    async def unwell(_: entries.GetEntryRequest) -> entries.GetEntryResponse:
        raise Unavailable("not now")

    hop.entries.answer = unwell
    async with hop.server(), hop.stub() as stub:
        with unrepeated(), pytest.raises(Unavailable):
            await stub.GetEntry(entries.GetEntryRequest(key="k"))
        assert hop.entries.calls == 1
        with pytest.raises(Unavailable):
            await stub.GetEntry(entries.GetEntryRequest(key="k"))
    assert hop.entries.calls == 1 + ATTEMPTS, "outside of the block it is repeated"


async def test_retries_used_up_are_not_multiplied_upstream(hop: OneHop) -> None:
    async def gone(_: object) -> entries.GetEntryResponse:
        error = Unavailable("not now")
        error.retried = True
        raise error

    hop.entries.answer = gone
    async with hop.server(), hop.stub() as stub:
        with pytest.raises(Unavailable):
            await stub.GetEntry(REQUEST)

    assert hop.entries.calls == 1


async def test_a_peer_that_is_away_opens_the_circuit_and_is_found_when_back(hop: OneHop) -> None:
    async with hop.stub() as stub:
        error: ServiceError = Internal("none yet")
        for _ in range(10):
            with pytest.raises(Unavailable) as caught:
                await stub.GetEntry(REQUEST)
            error = caught.value
        assert error.reason == CircuitOpen.reason
        assert error.retry_after_s is not None

        async with hop.server(), asyncio.timeout(10):
            while True:
                try:
                    await stub.GetEntry(REQUEST)
                    break
                except Unavailable as again:
                    await asyncio.sleep(again.retry_after_s or 0.05)


async def test_a_deadline_is_passed_on_and_trimmed(hop: OneHop) -> None:
    seen: list[float] = []

    async def measure(request: entries.GetEntryRequest) -> entries.GetEntryResponse:
        seen.append(remaining_s() or 0.0)
        return await hop.entries.echo(request)

    hop.entries.answer = measure
    async with hop.server(), hop.stub() as stub:
        await stub.GetEntry(REQUEST, timeout=5.0)

    assert 0 < seen[0] < 4.99


async def test_a_deadline_that_passes_is_a_typed_error(hop: OneHop) -> None:
    async def hang(_: object) -> entries.GetEntryResponse:
        await asyncio.Event().wait()
        raise AssertionError

    hop.entries.answer = hang
    async with hop.server(), hop.stub() as stub:
        with pytest.raises(DeadlineExceeded):
            await stub.GetEntry(REQUEST, timeout=0.1)


async def test_a_cancelled_caller_cancels_the_handler(hop: OneHop) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_: object) -> entries.GetEntryResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    hop.entries.answer = hang
    async with hop.server(), hop.stub() as stub:
        task = asyncio.ensure_future(stub.GetEntry(REQUEST))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_leaving_a_stream_ends_it_at_the_peer(hop: OneHop) -> None:
    async with hop.server(), hop.run_stub() as stub:
        async with reading(stub.TailRun(runs.TailRunRequest())) as responses:
            async for response in responses:
                if response.events[0].seq == 3:
                    break
        await asyncio.wait_for(hop.runs.left.wait(), 5)


async def test_a_stop_ends_calls_that_only_wait_and_lets_the_others_finish(hop: OneHop) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow(request: entries.GetEntryRequest) -> entries.GetEntryResponse:
        begun.set()
        await finish.wait()
        return await hop.entries.echo(request)

    hop.entries.answer = slow
    async with hop.stub() as stub, hop.run_stub() as run_stub:
        async with hop.server():
            call = asyncio.ensure_future(stub.GetEntry(REQUEST))
            await asyncio.wait_for(begun.wait(), 5)
            tail = reading(run_stub.TailRun(runs.TailRunRequest()))
            responses = await tail.__aenter__()
            for _ in range(10):
                await anext(responses)
            waiting = asyncio.ensure_future(anext(responses))
            waiting.add_done_callback(lambda _: finish.set())
        with pytest.raises(Unavailable) as caught:
            await waiting
        await tail.__aexit__(None, None, None)
        assert caught.value.reason == "DRAINING"
        assert (await call).entry.key == "k"


async def test_more_calls_than_there_is_room_for_are_refused_at_once(hop: OneHop) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow(request: entries.GetEntryRequest) -> entries.GetEntryResponse:
        begun.set()
        await finish.wait()
        return await hop.entries.echo(request)

    hop.entries.answer = slow
    async with hop.server(max_in_flight=1), hop.stub() as stub:
        call = asyncio.ensure_future(stub.GetEntry(REQUEST))
        await asyncio.wait_for(begun.wait(), 5)
        with pytest.raises(ResourceExhausted) as caught:
            await stub.GetEntry(REQUEST)
        finish.set()
        await call

    assert caught.value.reason == "OVERLOADED"
    assert caught.value.retry_after_s


async def test_one_trace_crosses_the_hop(hop: OneHop) -> None:
    client, server = open_telemetry("client"), open_telemetry("server")
    inside: list[str] = []

    async def look(request: entries.GetEntryRequest) -> entries.GetEntryResponse:
        inside.append(current_traceparent())
        return await hop.entries.echo(request)

    hop.entries.answer = look
    async with hop.server(server), hop.stub(client) as stub:
        with client.span("root"):
            await stub.GetEntry(REQUEST)

    called, root = client.spans.take()
    (served,) = server.spans.take()
    assert called.trace_id == root.trace_id == served.trace_id
    assert called.parent_span_id == root.span_id
    assert served.parent_span_id == called.span_id
    assert inside[0].split("-")[1] == root.trace_id


async def test_background_calls_start_no_trace(hop: OneHop) -> None:
    client, server = open_telemetry("client"), open_telemetry("server")
    async with hop.server(server), hop.stub(client) as stub:
        await stub.GetEntry(REQUEST)

    assert client.spans.take() == []
    assert server.spans.take() == []


async def test_health_answers_for_every_service(hop: OneHop) -> None:
    async with hop.server(), grpc.aio.insecure_channel(hop.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "pentad.state.v1.EntryService", "pentad.state.v1.RunService"):
            request = health_pb2.HealthCheckRequest(service=name)
            response = await stub.Check(request)  # type: ignore[attr-defined]
            assert response.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_address_in_use_is_said_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressInUse):
            async with serving(Settings(address=address), silent_telemetry("state"), []):
                pass


def test_repeatability_is_read_from_the_protos() -> None:
    assert is_idempotent("/pentad.state.v1.EntryService/GetEntry")
    assert not is_idempotent("/pentad.state.v1.EntryService/PutEntry")
