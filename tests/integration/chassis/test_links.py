"""Links between real servers and channels: found, shared, replaced and lost, and no call with them.

What holds on a link as it does without is tested with the hop; what one link does, without a
network, in tests/unit/chassis/link.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import grpc
import pytest
from harness.faults import DROP, Fault, open_proxy
from harness.linked import links, until_rested
from harness.suite import until
from integration.chassis.peer import (
    WITHIN_S,
    Caller,
    Entries,
    Replica,
    calling,
    load,
    replicas,
    target,
)

from pentad.chassis.v1.link_service_pb2_grpc import LinkServiceStub
from pentad.state.v1 import entry_service_pb2_grpc as entries_grpc
from pentad.state.v1 import run_service_pb2 as runs
from pentad_chassis import server
from pentad_chassis.calls import unrepeated
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.config import Settings
from pentad_chassis.errors import ResourceExhausted, ServiceError, Unavailable
from pentad_chassis.link import links as links_module
from pentad_chassis.link.assembly import PAYLOAD_BYTES_MAX
from pentad_chassis.link.session import Session
from pentad_chassis.server import serving
from pentad_chassis.telemetry import silent_telemetry

LARGE = 3 * 1024 * 1024
DRAIN_S = 0.5
"""In which callers hear that a replica leaves, as docs/resilience.md has it."""


@pytest.fixture
async def one() -> AsyncIterator[Replica]:
    async with replicas(1, drain_grace_s=0.0) as (replica,):
        await replica.start()
        yield replica


@pytest.fixture
async def caller(one: Replica) -> AsyncIterator[Caller]:
    """A caller with a link to the one replica; nothing is left behind of its calls."""
    async with calling(one.address) as opened:
        await opened.until_linked()
        yield opened
        await until_rested(opened.channel)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that links are made of, in the order of their making."""
    found: list[Session] = []

    def make(*arguments: Any) -> Session:
        found.append(Session(*arguments))
        return found[-1]

    monkeypatch.setattr(links_module, "Session", make)
    return found


@pytest.fixture
def lasting(made: list[Session], monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The same, where none is replaced for its age."""
    monkeypatch.setattr(links_module, "_ANEW_S", 60.0)
    monkeypatch.setattr(links_module, "_AGE_S", 60.0)
    return made


async def test_large_messages_pass_both_ways_among_small_ones(caller: Caller) -> None:
    async with load(caller, 4) as ended:
        for _ in range(3):
            large = await asyncio.gather(
                caller.get(str(LARGE)), caller.put(LARGE), caller.tail(3, LARGE)
            )
            assert (len(large[0]), *large[1:]) == (LARGE, LARGE, [0, 1, 2])
    assert set(ended) == {"well"}


async def test_a_message_that_is_too_large_is_refused_on_either_transport(
    one: Replica, link: bool
) -> None:
    async with calling(one.address, link=link) as caller:
        if link:
            await caller.until_linked()
        for too_large in (
            caller.put(PAYLOAD_BYTES_MAX),
            caller.get(str(PAYLOAD_BYTES_MAX)),
            caller.tail(2, PAYLOAD_BYTES_MAX),
        ):
            with pytest.raises(ResourceExhausted):
                await too_large
        assert await caller.get("1") == b"\0"


async def test_hundreds_of_streams_share_one_link(
    lasting: list[Session], caller: Caller, one: Replica
) -> None:
    counts = [n % 97 for n in range(400)]
    found = await asyncio.gather(*(caller.tail(n) for n in counts))
    assert found == [list(range(n)) for n in counts]

    async with AsyncExitStack() as stack:
        for _ in range(400):
            request = runs.TailRunRequest(run_id="-")
            stream = await stack.enter_async_context(reading(caller.runs.TailRun(request)))
            assert (await anext(stream)).events[0].seq == 0
        assert one.runs.open == 400
    await until(partial(none_open, one), what="the handlers have ended")
    assert len(lasting) <= 2, "the second shows that there is but one replica"


async def none_open(replica: Replica) -> bool:
    return replica.runs.open == 0


async def test_a_peer_that_knows_no_links_is_called_without_until_it_does(
    monkeypatch: pytest.MonkeyPatch, one: Replica
) -> None:
    monkeypatch.setattr(links_module, "_DEAF_S", 0.05)
    await one.stop()
    older = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    entries_grpc.add_EntryServiceServicer_to_server(Entries(), older)
    older.add_insecure_port(one.address)
    await older.start()
    async with calling(one.address) as caller:
        for n in range(20):
            assert await caller.put(n) == n
        assert links(caller.telemetry, "peer") == 0
        await older.stop(0.1)

        await one.start()
        await caller.until_linked()
        assert await caller.put(5) == 5


async def test_a_link_that_is_cut_fails_its_calls_and_is_replaced(one: Replica) -> None:
    async with open_proxy(one.address) as proxy, calling(proxy.address) as caller:
        await caller.until_linked()
        one.entries.finish.clear()
        once = asyncio.create_task(caller.put())
        await one.entries.begun.wait()
        with unrepeated():
            unrepeatable = asyncio.create_task(caller.get("1"))
        again = asyncio.create_task(caller.get("1"))
        await until(partial(have_begun, one, 3))

        await proxy.begin(DROP)
        one.entries.finish.set()

        for task in (once, unrepeatable):
            with pytest.raises(Unavailable) as caught:
                await task
            assert caught.value.unsaid
        assert await again == b"\0"
        assert one.entries.calls == 4, "only what may be repeated was"
        await proxy.heal()
        await caller.until_linked()
        assert await caller.put(7) == 7
        await until_rested(caller.channel)


async def have_begun(replica: Replica, calls: int) -> bool:
    return replica.entries.calls >= calls


async def test_replicas_share_the_calls_and_come_and_go_without_losing_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links_module, "_ANEW_S", 0.3)
    async with replicas(3, drain_delay_s=DRAIN_S) as (first, second, third):
        await first.start()
        await second.start()
        async with calling(target([first, second, third])) as caller, load(caller) as ended:
            await caller.until_linked(2)
            await until(partial(shared, caller, [first, second]), WITHIN_S, "two share the calls")

            await third.start()
            everybody = [first, second, third]
            await until(partial(shared, caller, everybody), WITHIN_S, "the third has its share")

            await first.stop()
            assert first.runs.open == 0
            await until(partial(shared, caller, [second, third]), WITHIN_S, "two are left")
            assert set(ended) == {"well"}


async def shared(caller: Caller, among: list[Replica]) -> bool:
    """Whether each of them has about its share of some calls, beside those of the load."""
    before = [replica.entries.calls for replica in among]
    for _ in range(30 * len(among)):
        await caller.put()
    shares = [replica.entries.calls - b for replica, b in zip(among, before, strict=True)]
    return min(shares) * 2 > max(shares)


async def test_a_replica_that_is_not_well_gets_no_calls_until_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links_module, "_ANEW_S", 0.1)
    async with replicas(2, drain_grace_s=0.0) as both, calling(target(both)) as caller:
        for replica in both:
            await replica.start()
        await caller.until_linked(2)
        first, second = both

        first.fall_ill()
        await until(partial(left_out, caller, first), WITHIN_S, "it gets no calls")
        second.entries.calls = 0
        first.recover()
        await until(partial(shared, caller, both), WITHIN_S, "it has its share again")
        await until_rested(caller.channel)


async def left_out(caller: Caller, replica: Replica) -> bool:
    """Whether of some calls none reaches the replica, though each would have found it before."""
    before = replica.entries.calls
    for _ in range(20):
        await caller.put()
    return replica.entries.calls == before


async def test_an_only_replica_that_is_not_well_is_said_to_be_away(
    caller: Caller, one: Replica
) -> None:
    one.fall_ill()
    await until(partial(is_away, caller), WITHIN_S, "calls fail")
    assert links(caller.telemetry, "peer") == 0
    one.recover()
    await caller.until_linked()
    await until(partial(is_back, caller), WITHIN_S, "calls succeed")


async def is_away(caller: Caller) -> bool:
    return not await is_back(caller)


async def is_back(caller: Caller) -> bool:
    try:
        await caller.put()
    except ServiceError:
        return False
    return True


async def test_replacing_links_loses_no_call_and_no_stream(
    monkeypatch: pytest.MonkeyPatch, made: list[Session]
) -> None:
    monkeypatch.setattr(links_module, "_ANEW_S", 0.02)
    turned = asyncio.Event()
    async with replicas(2) as both, calling(target(both)) as caller:
        for replica in both:
            replica.runs.pace = turned.wait
            await replica.start()
        await caller.until_linked(2)
        streams = [asyncio.create_task(caller.tail(40, 10_000)) for _ in range(20)]
        async with load(caller) as ended:
            begun = len(made)
            await until(partial(has_made, made, begun + 30), WITHIN_S, "links are replaced")
            turned.set()
            found = await asyncio.gather(*streams)
            await until(partial(has_made, made, begun + 50), WITHIN_S, "and go on to be")
        assert found == [list(range(40))] * 20
        assert set(ended) == {"well"}
        await until_rested(caller.channel)


async def has_made(made: list[Session], links_: int) -> bool:
    return len(made) >= links_


async def test_a_link_that_nobody_uses_ends_and_is_opened_again_when_somebody_does(
    monkeypatch: pytest.MonkeyPatch, one: Replica, made: list[Session]
) -> None:
    monkeypatch.setattr(links_module, "_AGE_S", 0.05)
    async with calling(one.address) as caller:
        await caller.until_linked()

        async def none_is_left() -> bool:
            return links(caller.telemetry, "peer") == 0

        await until(none_is_left, what="the link has ended")
        await until_rested(caller.channel)
        before = len(made)
        await caller.until_linked()
        assert len(made) > before


async def test_a_stop_waits_until_the_last_answers_were_heard_far_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_HEARD_S", WITHIN_S)
    async with replicas(1) as (replica,), open_proxy(replica.address) as proxy:
        await replica.start()
        await proxy.begin(Fault(delay_s=0.1))
        async with calling(proxy.address) as caller:
            await caller.until_linked()
            replica.entries.finish.clear()
            with unrepeated():
                calls = [asyncio.create_task(caller.get(str(LARGE))) for _ in range(5)]
            await until(partial(have_begun, replica, 5))
            stopping = asyncio.create_task(replica.stop())
            await until(partial(no_links, caller), what="the caller has been sent away")
            replica.entries.finish.set()
            assert [len(value) for value in await asyncio.gather(*calls)] == [LARGE] * 5
            await stopping


async def no_links(caller: Caller) -> bool:
    return links(caller.telemetry, "peer") == 0


async def test_a_link_is_refused_where_interceptors_count() -> None:
    async with replicas(1) as (replica,):
        config = Settings(tracer="instrumentation", address=replica.address)
        async with (
            serving(config, silent_telemetry("edge"), []),
            grpc.aio.insecure_channel(replica.address) as channel,
        ):
            stream = LinkServiceStub(channel).Connect()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "settings",
    [Settings(link=False), Settings(tracer="instrumentation")],
    ids=["turned off", "instrumented"],
)
async def test_no_link_is_opened_where_calls_are_to_go_by_themselves(
    one: Replica, settings: Settings, made: list[Session]
) -> None:
    telemetry = silent_telemetry("caller")
    async with open_channel("peer", one.address, settings, telemetry) as channel:
        for n in range(30):
            assert await Caller(channel, telemetry).put(n) == n
    assert not made
