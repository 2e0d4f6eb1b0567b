"""In the class `replicated`, nothing lasting is acknowledged before replicas have it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.fake_server import Answer, FakeServer, echo

from pentad_chassis.telemetry import silent_telemetry
from pentad_state.connection import Address
from pentad_state.errors import DurabilityNotReached
from pentad_state.exchange import Copies
from pentad_state.metrics import StateMetrics
from pentad_state.pipe import Pipe
from pentad_state.store import script
from pentad_state.waiting import running

APPEND, READ = script("run_append"), script("run_events")
TAIL = script("run_tail")
KEYS = ["pentad:{p07}:run:x"]


def waits(answer: bytes) -> Answer:
    return lambda c: {b"SET": b"+OK\r\n", b"WAIT": answer}.get(c[0]) or echo(c)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[FakeServer]:
    async with FakeServer(tmp_path / "s").running() as started:
        yield started


@pytest.fixture
async def pipe(server: FakeServer) -> AsyncIterator[Pipe]:
    telemetry = silent_telemetry("state")
    endpoint, metrics = Address(f"unix://{server.path}"), StateMetrics(telemetry.metrics)
    opened = Pipe(endpoint, 30.0, telemetry, metrics, Copies(replicas=2, wait_s=0.5))
    async with running(opened.serve()):
        yield opened


async def test_a_batch_is_waited_for_once_behind_a_write_of_its_own(
    server: FakeServer, pipe: Pipe
) -> None:
    server.answer = waits(b":2\r\n")

    replies = await asyncio.gather(*(pipe.run(APPEND, KEYS, f"{i}") for i in range(20)))

    assert replies == [b"%d" % i for i in range(20)]
    (batch,) = server.reads
    assert [c[0] for c in batch] == [b"EVALSHA"] * 20 + [b"SET", b"WAIT"]
    assert batch[-2:] == [[b"SET", b"pentad:{p07}:mark", b""], [b"WAIT", b"2", b"500"]]


async def test_what_only_reads_is_not_waited_for(server: FakeServer, pipe: Pipe) -> None:
    assert await pipe.run(READ, KEYS, "x") == b"x"
    assert await pipe.call("GET", "y") == b"y"

    assert [c[0] for batch in server.reads for c in batch] == [b"EVALSHA", b"GET"]


async def test_what_clients_go_on_from_is_waited_for_too(server: FakeServer, pipe: Pipe) -> None:
    """What a primary showed that is none any more would be a gap, or an event that never was."""
    server.answer = waits(b":2\r\n")

    await asyncio.gather(pipe.run(TAIL, KEYS, "x"), pipe.call("GET", KEYS[0], lasting=True))
    server.answer = waits(b":1\r\n")
    with pytest.raises(DurabilityNotReached):
        await pipe.run(TAIL, KEYS, "x")

    (batch, _) = server.reads
    assert [c[0] for c in batch] == [b"EVALSHA", b"GET", b"SET", b"WAIT"]


async def test_too_few_replicas_are_said_to_those_who_wrote(server: FakeServer, pipe: Pipe) -> None:
    server.answer = waits(b":1\r\n")

    wrote, read = await asyncio.gather(
        pipe.run(APPEND, KEYS, "w"), pipe.run(READ, KEYS, "r"), return_exceptions=True
    )

    assert isinstance(wrote, DurabilityNotReached)
    assert wrote.metadata == {"cause": "1 of 2 replicas have it"}
    assert read == b"r"
    server.answer = waits(b":2\r\n")
    assert await pipe.run(APPEND, KEYS, "again") == b"again"
    assert server.connections == 2, "a primary that its replicas have left may be one no longer"


@pytest.mark.parametrize("refusal", [b"-MOVED 1 a:1\r\n", b"-UNBLOCKED instance state\r\n"])
async def test_a_wait_that_fails_acknowledges_nothing(
    server: FakeServer, pipe: Pipe, refusal: bytes
) -> None:
    server.answer = waits(refusal)

    with pytest.raises(DurabilityNotReached):
        await pipe.run(APPEND, KEYS, "x")


async def test_a_server_that_counts_its_replicas_itself_means_the_same(
    server: FakeServer, pipe: Pipe
) -> None:
    answer = b"-NOREPLICAS Not enough good replicas to write.\r\n"
    server.answer = lambda c: answer if c[0] == b"EVALSHA" else waits(b":2\r\n")(c)

    with pytest.raises(DurabilityNotReached) as caught:
        await pipe.run(APPEND, KEYS, "x")
    assert "min-replicas-to-write" in caught.value.message
