"""A store of several servers moves under load: nothing acknowledged is lost, and nothing is twice.

Slots go from server to server, primaries die or hang, and whoever waits goes on by itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from harness.engines import (
    PASSWORD,
    Cluster,
    Node,
    Trio,
    await_true,
    running_cluster,
    running_sentinels,
)
from harness.fakes import until
from harness.runs import RUNNING, by, claimed, create
from pydantic import SecretStr
from redis.crc import key_slot

from pentad.state.v1.event_pb2 import Event, TurnStarted
from pentad.state.v1.run_service_pb2 import ClaimedRun
from pentad_chassis.errors import Unavailable
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.partitions import PARTITIONS, key

_Result = TypeVar("_Result")

WRITERS = 24
WARM = 10
"""Appends of each writer before something moves, and after it has."""

LAST = 4095
"""Of the slots that move: most that their server has, for one that has none joins another."""

ALONE_S = 0.4
"""Too short for the sentinels to count the replicas out."""

RETRY_S = 0.02
PATIENCE_S = 40.0


async def insist(step: Callable[[], Awaitable[_Result]]) -> _Result:
    """Repeat an idempotent step until it is acknowledged, as the service's callers do."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await step()
        except Unavailable:
            assert time.monotonic() < until, "the store did not come back"
            await asyncio.sleep(RETRY_S)


class Writer:
    """The owner of a run, who appends to it without a pause."""

    def __init__(self, core: StateCore, held: ClaimedRun) -> None:
        self.acknowledged = 1
        self._core = core
        self._lease = held.lease

    async def write(self) -> None:
        """Append until cancelled. An append that is lost or doubled is a conflict, and ends it."""
        while True:
            await insist(self._append)
            self.acknowledged += 1

    async def _append(self) -> None:
        seq = self.acknowledged
        event = Event(turn_started=TurnStarted(step="run", turn=seq))
        await self._core.appends.append(self._lease, seq, f"append-{seq}", [event], RUNNING)

    async def journal(self) -> list[int]:
        """Return the turns that the journal holds."""
        events: list[Event] = []
        while more := await self._core.runs.list_events(self._lease.run_id, len(events)):
            events += more
        return [event.turn_started.turn for event in events[1:]]


@asynccontextmanager
async def under_load(core: StateCore) -> AsyncIterator[None]:
    """Let writers write before, during and after the block; then look at what became of it."""
    writers = [Writer(core, await claimed(core, f"w{i}")) for i in range(WRITERS)]

    async def all_went_on() -> None:
        before = [writer.acknowledged for writer in writers]
        await until(
            lambda: all(w.acknowledged >= b + WARM for w, b in zip(writers, before, strict=True)),
            PATIENCE_S,
        )

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(writer.write()) for writer in writers]
        await all_went_on()
        yield
        await all_went_on()
        for task in tasks:
            task.cancel()
    for writer in writers:
        turns = await writer.journal()
        assert turns == list(range(1, len(turns) + 1))
        # The last append may have been on its way when its writer stopped.
        assert 1 + len(turns) - writer.acknowledged in {0, 1}


def replicated(store: Cluster | Trio, **settings: Any) -> Config:
    return Config(redis_url=SecretStr(store.url), durability="replicated", **settings)


async def is_woken(core: StateCore) -> None:
    """Check that somebody who waits hears of new work, rather than finding it when looking."""
    # A claim whose answer is lost is made again when its lease has ended.
    idle = by("idle", lease_s=1.0)
    found: set[str] = set()

    async def claim() -> None:
        while True:
            runs, _ = await insist(lambda: core.schedule.poll(idle, 1, 10))
            found.update(held.lease.run_id for held in runs)

    claiming = asyncio.create_task(claim())
    await asyncio.sleep(0.3)
    run = await insist(lambda: create(core, "new"))
    # What the writers held may be claimed before it, if they were held up for as long as a lease.
    await until(lambda: run.run_id in found, PATIENCE_S)
    claiming.cancel()


def slots_of(first: int, last: int) -> list[int]:
    """Return the slots in a range that partitions live in."""
    slots = {key_slot(key(p, "x").encode()) for p in range(PARTITIONS)}
    return sorted(slot for slot in slots if first <= slot <= last)


def id_of(node: Node) -> str:
    return str(node.ask("CLUSTER", "MYID").decode())


def move_at_once(source: Node, target: Node, first: int, last: int) -> None:
    """Move slots as Valkey 9 does: the target replicates them, and takes over in one step."""
    source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", first, last, "NODE", id_of(target))
    await_true(lambda: b"success" in _states(source), "a migration that succeeded")


def _states(node: Node) -> list[bytes]:
    (job, *_) = node.ask("CLUSTER", "GETSLOTMIGRATIONS")
    return list(job.values()) if isinstance(job, dict) else list(job)


def move_key_by_key(source: Node, target: Node, first: int, last: int) -> None:
    """Move slots as all others do; meanwhile, what is there in part is not to be had."""
    for slot in slots_of(first, last):
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", id_of(target))
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source.ask(
                "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys
            )
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", id_of(target))


@pytest.mark.parametrize("move", [move_at_once, move_key_by_key])
async def test_slots_move_under_load(move: Callable[[Node, Node, int, int], None]) -> None:
    with running_cluster() as cluster:
        source, target, _ = cluster.nodes
        async with open_core(cluster.url, Config(), silent_telemetry("state")) as core:
            async with under_load(core):
                await asyncio.to_thread(move, source, target, 0, LAST)
            await is_woken(core)

        moved = slots_of(0, LAST)
        assert len(moved) > PARTITIONS // 6
        assert {source.ask("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in moved} == {0}
        assert any(target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in moved)


def dies(trio: Trio) -> None:
    trio.primary.kill()
    await_true(trio.has_another_primary, "another primary")


def hangs(trio: Trio) -> None:
    trio.primary.halt()
    await_true(trio.has_another_primary, "another primary")
    trio.primary.go_on()


def dies_alone(trio: Trio) -> None:
    """Let the primary write what no replica gets, and die with it."""
    for replica in trio.replicas:
        replica.halt()
    # What stands in a socket reaches one that hangs; what is written behind its end does not.
    trio.primary.ask("CLIENT", "KILL", "TYPE", "REPLICA")
    time.sleep(ALONE_S)
    trio.primary.kill()
    for replica in trio.replicas:
        replica.go_on()
    await_true(trio.has_another_primary, "another primary")


@pytest.mark.parametrize("falls", [dies, hangs, dies_alone])
async def test_a_primary_falls_under_load(falls: Callable[[Trio], None]) -> None:
    with running_sentinels(replicas=2) as trio:
        config = replicated(trio, reply_s=1.0)
        async with open_core(trio.url, config, silent_telemetry("state")) as core:
            async with under_load(core):
                await asyncio.to_thread(falls, trio)
            await is_woken(core)


async def test_a_primary_of_a_cluster_dies_under_load() -> None:
    with running_cluster(replicated=True) as cluster:
        config = replicated(cluster, reply_s=1.0)
        async with open_core(cluster.url, config, silent_telemetry("state")) as core:
            async with under_load(core):
                cluster.nodes[0].kill()
                await asyncio.to_thread(await_true, cluster.has_another_primary, "another primary")
                await asyncio.to_thread(cluster.nodes[0].start)
            await is_woken(core)


async def test_nothing_is_acknowledged_without_replicas_and_all_goes_on_with_them() -> None:
    with running_sentinels(replicas=1) as trio:
        config = replicated(trio, replica_wait_s=0.2)
        telemetry = silent_telemetry("state")
        async with open_core(trio.url, config, telemetry) as core, under_load(core):
            (replica,) = trio.replicas
            replica.kill()
            with pytest.raises(Unavailable) as caught:
                await core.entries.put("s", "k", b"v", None, None)
            assert caught.value.reason == "DURABILITY_NOT_REACHED"
            replica.start()
