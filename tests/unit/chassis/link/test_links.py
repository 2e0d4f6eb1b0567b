"""When links are opened, which is used, and when they are left; the peer is in this process."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any, cast

import grpc
import pytest
from harness.link_pair import Stream, Way, failure
from harness.linked import links

from pentad.chassis.v1.link_service_pb2 import ConnectResponse
from pentad_chassis.link import links as module
from pentad_chassis.link.links import Links
from pentad_chassis.link.servicer import LinkServicer
from pentad_chassis.link.session import Session
from pentad_chassis.telemetry import Telemetry, open_telemetry, silent_telemetry

LONG_S = 60.0


class Broken:
    """A stream that never opens."""

    def __init__(self, error: Exception | None = None) -> None:
        self.cancelled = False
        self._down = Way(ConnectResponse)
        if error is not None:
            self._down.end(error)

    async def read(self) -> Any:
        try:
            return await self._down.read()
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def cancel(self) -> bool:
        self.cancelled = True
        return True


class Peer:
    """Stands where a channel does; its replicas are reached in turn, as gRPC balances."""

    def __init__(self, replicas: int = 1, telemetry: Telemetry | None = None) -> None:
        self.servicers = [
            LinkServicer({}, open_telemetry("peer", "error", StringIO())) for _ in range(replicas)
        ]
        self.connect: Callable[[], Any] = self._connect
        self.streams: list[Any] = []
        self.telemetry = telemetry or silent_telemetry("caller")
        self.links = Links("peer", cast("Any", self), self.telemetry)

    def stream_stream(self, *_: object, **__: object) -> Callable[..., Any]:
        """Stand in for a channel's."""

        def open_stream(**_: object) -> Any:
            self.streams.append(self.connect())
            return self.streams[-1]

        return open_stream

    def _connect(self) -> Stream:
        return Stream(self.servicers[len(self.streams) % len(self.servicers)])

    @property
    def sessions(self) -> list[Session]:
        return self.links._sessions

    async def used_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10.0):
            while not condition():
                self.links.pick()
                await asyncio.sleep(0.001)


@asynccontextmanager
async def kept(peer: Peer) -> AsyncIterator[Peer]:
    before = asyncio.all_tasks()
    keeping = asyncio.create_task(peer.links.keep())
    try:
        yield peer
    finally:
        assert not keeping.done()
        keeping.cancel()
        await asyncio.wait([keeping])
        assert not peer.sessions
        ends = [each.serving for each in peer.streams if isinstance(each, Stream)]
        if ends:
            await asyncio.wait(ends, timeout=10.0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before


@pytest.fixture(autouse=True)
def times(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Nothing happens by time alone, but for what a test says."""

    def set_times(**seconds: float) -> None:
        for name, value in seconds.items():
            monkeypatch.setattr(module, f"_{name}_S", value)

    set_times(ANEW=LONG_S, AGE=LONG_S, AGAIN=0.001, DEAF=LONG_S)
    return set_times


async def test_no_link_is_opened_until_there_is_use_for_one() -> None:
    async with kept(Peer()) as peer:
        for _ in range(20):
            await asyncio.sleep(0)
        assert not peer.streams
        assert peer.links.pick() is None
        await peer.used_until(lambda: links(peer.telemetry, "peer") == 1)
        assert peer.links.pick() is peer.sessions[0]


async def test_each_replica_has_one_link_and_they_take_turns() -> None:
    async with kept(Peer(3)) as peer:
        await peer.used_until(lambda: len(peer.streams) == 4 and len(peer.sessions) == 3)
        picked = Counter(id(peer.links.pick()) for _ in range(30))
        assert list(picked.values()) == [10, 10, 10]


async def test_links_of_all_channels_to_a_peer_are_counted() -> None:
    telemetry = silent_telemetry("caller")
    async with kept(Peer(telemetry=telemetry)) as one:
        await one.used_until(lambda: len(one.streams) == 2 and len(one.sessions) == 1)
        async with kept(Peer(telemetry=telemetry)) as other:
            await other.used_until(lambda: len(other.sessions) == 1)
            assert links(telemetry, "peer") == 2
        assert links(telemetry, "peer") == 1
    assert links(telemetry, "peer") == 0


async def test_a_link_is_replaced_in_its_time_and_there_is_still_one(
    times: Callable[..., None],
) -> None:
    times(ANEW=0.01)
    async with kept(Peer()) as peer:
        await peer.used_until(lambda: len(peer.streams) > 10)
        await peer.used_until(lambda: links(peer.telemetry, "peer") == len(peer.sessions) == 1)
        replaced = [stream.serving for stream in peer.streams[:8]]
        _, late = await asyncio.wait(replaced, timeout=10.0)
        assert not late, "a link that is replaced and has no calls has ended"


async def test_a_link_that_was_lost_is_replaced_at_once() -> None:
    async with kept(Peer()) as peer:
        await peer.used_until(lambda: len(peer.streams) == 2 and len(peer.sessions) == 1)
        lost = peer.sessions[0]
        peer.streams[-1].cut()
        await peer.used_until(lambda: lost not in peer.sessions and len(peer.sessions) == 1)


async def test_a_link_that_came_of_age_begins_no_calls(times: Callable[..., None]) -> None:
    times(AGE=0.01)
    async with kept(Peer()) as peer:
        await peer.used_until(lambda: bool(peer.sessions))
        async with asyncio.timeout(10.0):
            while peer.sessions:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)
        assert links(peer.telemetry, "peer") == 0


async def test_a_replica_that_sends_callers_away_is_not_used_until_it_works_again() -> None:
    async with kept(Peer()) as peer:
        (servicer,) = peer.servicers
        await peer.used_until(lambda: bool(peer.sessions))
        servicer.follow(works=False)
        await peer.used_until(lambda: not peer.sessions)
        tries = len(peer.streams) + 5
        await peer.used_until(lambda: len(peer.streams) > tries)
        assert not peer.sessions
        servicer.follow(works=True)
        await peer.used_until(lambda: len(peer.sessions) == 1)


async def test_a_peer_that_knows_no_links_is_not_asked_again_soon(
    times: Callable[..., None],
) -> None:
    times(AGAIN=0.0)
    peer = Peer()
    peer.connect = lambda: Broken(failure(grpc.StatusCode.UNIMPLEMENTED))
    async with kept(peer):
        for _ in range(200):
            assert peer.links.pick() is None
            await asyncio.sleep(0)
        assert len(peer.streams) == 1


@pytest.mark.parametrize("error", [failure(grpc.StatusCode.UNAVAILABLE), None])
async def test_a_peer_that_is_away_or_silent_is_asked_again(
    times: Callable[..., None], error: Exception | None
) -> None:
    times(HELLO=0.01)
    peer = Peer()
    peer.connect = lambda: Broken(error)
    async with kept(peer):
        await peer.used_until(lambda: len(peer.streams) > 3)
        assert not peer.sessions
        assert peer.streams[0].cancelled == (error is None)
        peer.connect = peer._connect
        await peer.used_until(lambda: len(peer.sessions) == 1)


class Failing:
    """A stream that fails at the moment at which its reader is cancelled, as gRPC tells it."""

    async def read(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise failure(grpc.StatusCode.UNAVAILABLE) from None

    def cancel(self) -> bool:
        return True


async def test_a_stop_that_meets_a_failure_is_a_stop() -> None:
    peer = Peer()
    peer.connect = Failing
    keeping = asyncio.create_task(peer.links.keep())
    await peer.used_until(lambda: len(peer.streams) == 1)
    await asyncio.sleep(0)

    keeping.cancel()
    done, _ = await asyncio.wait([keeping], timeout=10.0)

    assert done == {keeping}


async def test_a_link_whose_other_end_is_slow_is_passed_over() -> None:
    async with kept(Peer(2)) as peer:
        await peer.used_until(lambda: len(peer.sessions) == 2)
        slow, quick = peer.sessions
        while not slow.is_crowded:
            slow.begin("/m", bytes(32 * 1024), LONG_S, ())
        assert {peer.links.pick() for _ in range(6)} == {quick}
        while not quick.is_crowded:
            quick.begin("/m", bytes(32 * 1024), LONG_S, ())
        assert peer.links.pick() is None, "it goes by itself then"


async def test_a_defect_ends_one_link_and_not_the_others() -> None:
    async with kept(Peer(2)) as peer:
        await peer.used_until(lambda: len(peer.sessions) == 2)
        stream = peer.streams[0]
        odd = ConnectResponse()
        odd.frames.add(call_id=1).end.status = b"\xff"
        peer.sessions[0].begin("/m", b"", LONG_S, ())
        await stream.down.write(odd)
        await peer.used_until(lambda: len(peer.streams) > 3 and len(peer.sessions) == 2)
