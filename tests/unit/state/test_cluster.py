"""A command finds the server that holds its slot, however the slots move."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from harness.fake_server import FakeServer, echo
from harness.fakes import until

from pentad_chassis.telemetry import silent_telemetry
from pentad_state import cluster as module
from pentad_state.cluster import Cluster
from pentad_state.connection import Address, Server
from pentad_state.errors import StoreUnavailable
from pentad_state.metrics import StateMetrics
from pentad_state.pipe import Pipe
from pentad_state.waiting import running

LOW, HIGH = "pentad:{p02}:x", "pentad:{p00}:x"
"""Keys in the lower and in the upper half of the slots."""

A, B = Server("a", 1), Server("b", 2)
GONE = Server("gone", 3)


class World:
    """Two servers that share the slots, and what each of them says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = {each: FakeServer(folder / each.host) for each in (A, B)}
        self.owners = {LOW: A, HIGH: B}
        self.known = True
        """Whether the map says so; else it says that A holds everything."""
        self.names: dict[Server, bytes] = {A: b"a", B: b"b"}
        self.answers: dict[Server, bytes] = {}
        """What a server answers to whatever is asked of it, but the map."""
        for server, fake in self.servers.items():
            fake.answer = partial(self._answer, server)
        telemetry = silent_telemetry("state")
        metrics = StateMetrics(telemetry.metrics)
        self.cluster = Cluster(
            [GONE, A, B],
            lambda server: Address(f"unix://{folder}/{server.host}"),
            lambda endpoint: Pipe(endpoint, 0.5, telemetry, metrics),
            telemetry,
        )

    def asked(self, server: Server) -> list[list[bytes]]:
        """Return what a server was asked for, but the map."""
        found = [c for read in self.servers[server].reads for c in read]
        return [c for c in found if c[0] != b"CLUSTER"]

    def _answer(self, server: Server, command: list[bytes]) -> bytes | None:
        match command:
            case [b"CLUSTER", b"SLOTS"]:
                return self._map()
            case [b"ASKING"]:
                return b"+OK\r\n"
        return self.answers.get(server) or echo(command)

    def _map(self) -> bytes:
        high = self.owners[HIGH] if self.known else A
        shards = ((0, 8191, self.owners[LOW]), (8192, 16383, high))
        return b"*2\r\n" + b"".join(
            b"*3\r\n:%d\r\n:%d\r\n*2\r\n$%d\r\n%s\r\n:%d\r\n"
            % (first, last, len(self.names[o]), self.names[o], o.port)
            for first, last, o in shards
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    async with AsyncExitStack() as stack:
        for fake in made.servers.values():
            await stack.enter_async_context(fake.running())
        await stack.enter_async_context(running(made.cluster.serve()))
        yield made


async def test_each_command_goes_to_the_server_that_holds_its_key(world: World) -> None:
    assert await world.cluster.call("GET", LOW) == LOW.encode()
    assert await world.cluster.call("GET", HIGH) == HIGH.encode()
    assert await world.cluster.everywhere("PING", "x") == [b"x", b"x"]

    assert [c[1] for c in world.asked(A)] == [LOW.encode(), b"x"]
    assert [c[1] for c in world.asked(B)] == [HIGH.encode(), b"x"]


async def test_a_slot_that_moved_is_followed_and_its_place_is_remembered(world: World) -> None:
    world.known = False
    world.answers[A] = b"-MOVED 12000 b:2\r\n"
    assert await world.cluster.call("GET", HIGH) == HIGH.encode()
    world.known = True
    await until(lambda: len(world.servers[A].reads + world.servers[B].reads) >= 4)

    asked = len(world.asked(A))
    assert await world.cluster.call("GET", HIGH) == HIGH.encode()

    assert len(world.asked(A)) == asked


async def test_a_slot_on_its_way_is_asked_for_where_it_goes(world: World) -> None:
    world.answers[A] = b"-ASK 1 b:2\r\n"

    assert await world.cluster.call("GET", LOW) == LOW.encode()

    assert world.asked(B) == [[b"ASKING"], [b"GET", LOW.encode()]]
    assert len(world.servers[B].reads[-1]) == 2, "nobody else's command comes between"
    world.answers.clear()
    await world.cluster.call("GET", LOW)
    assert len(world.asked(A)) == 2, "it is not there yet"


@pytest.mark.parametrize("answer", [b"-TRYAGAIN split\r\n", b"-CLUSTERDOWN no\r\n"])
async def test_what_is_not_to_be_had_now_is_asked_for_again_but_not_for_ever(
    world: World, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSES_S", (0.0, 0.01, 0.01))
    world.answers[A] = answer

    with pytest.raises(StoreUnavailable):
        await world.cluster.call("GET", LOW)

    assert len(world.asked(A)) == 3


async def test_a_server_that_is_replaced_is_left_and_the_new_one_found(world: World) -> None:
    await world.cluster.call("GET", LOW)
    world.owners[LOW] = B
    world.answers[A] = b"hang up"
    begun = time.monotonic()

    with pytest.raises(StoreUnavailable):
        await world.cluster.call("GET", LOW)

    async def is_found() -> bool:
        try:
            return bool(await world.cluster.call("GET", LOW) == LOW.encode())
        except StoreUnavailable:
            return False

    while not await is_found():
        assert time.monotonic() - begun < 5
    assert world.asked(B)


async def test_a_server_that_does_not_know_its_name_is_where_it_was_asked(world: World) -> None:
    world.owners[HIGH] = A
    world.names[A] = b""

    assert await world.cluster.call("GET", HIGH) == HIGH.encode()


async def test_a_cluster_that_is_away_is_said_soon(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with running(world.cluster.serve()):
        begun = time.monotonic()
        for ask in (world.cluster.call("GET", LOW), world.cluster.everywhere("PING")):
            with pytest.raises(StoreUnavailable):
                await ask
        assert time.monotonic() - begun < 1
