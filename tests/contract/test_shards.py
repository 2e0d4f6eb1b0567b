"""One server of a cluster is away: what it holds waits, and everything else goes on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from harness.engines import Cluster, Node, running_cluster
from harness.fakes import until
from harness.runs import SPEC, TENANT, by, create
from redis.crc import key_slot

from pentad.state.v1.event_pb2 import RunCreated
from pentad.state.v1.run_service_pb2 import ClaimedRun
from pentad_chassis.health import Level
from pentad_chassis.telemetry import Telemetry, silent_telemetry
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.partitions import key, partition_of_run

RUNS = 40
"""So many that each server holds some."""

SLOTS_OF_FIRST = 16384 // 3
WAIT_S = 30.0
LEASE_S = 300.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture
async def telemetry() -> Telemetry:
    return silent_telemetry("state")


@pytest.fixture
async def core(cluster: Cluster, telemetry: Telemetry) -> AsyncIterator[StateCore]:
    for node in cluster.nodes:
        node.ask("FLUSHALL")
    async with open_core(cluster.url, Config(reply_s=1.0), telemetry) as opened:
        yield opened


@asynccontextmanager
async def away(node: Node, others: list[Node], *, whole: str) -> AsyncIterator[None]:
    """Have a server say nothing, and the others serve without it unless `whole`."""
    for other in others:
        other.ask("CONFIG", "SET", "cluster-require-full-coverage", whole)
    node.halt()
    try:
        yield
    finally:
        node.go_on()
        # For some seconds the others count it out still, and would not notice that it is away.
        await until(
            lambda: not any("fail" in str(o.ask("CLUSTER", "NODES")) for o in others), WAIT_S
        )


def is_of_first(run_id: str) -> bool:
    """Whether the first server of the cluster holds a run."""
    return bool(key_slot(key(partition_of_run(run_id), "run").encode()) <= SLOTS_OF_FIRST)


def store_of(telemetry: Telemetry) -> Level:
    return telemetry.health.conditions()["store"].level


async def test_runs_that_others_hold_are_found_and_kept(
    cluster: Cluster, core: StateCore, telemetry: Telemetry
) -> None:
    first, *others = cluster.nodes
    held = [await kept(core, f"held{i}") for i in range(RUNS)]
    waiting = {(await create(core, f"waits{i}")).run_id for i in range(RUNS)}
    there = {run_id for run_id in waiting if not is_of_first(run_id)}
    assert 0 < len(there) < RUNS

    async with away(first, others, whole="no"):
        found = await taken(core, len(there))
        renewed = await core.leases.renew(by("one", LEASE_S), [each.lease for each in held])

        assert {each.lease.run_id for each in found} == there
        lost_from_sight = {e.lease.run_id for e in held if is_of_first(e.lease.run_id)}
        assert (renewed.lost, set(renewed.unreached)) == ([], lost_from_sight)
        await until(lambda: store_of(telemetry) is Level.DEGRADED, WAIT_S)

    rest = await taken(core, RUNS - len(there))
    assert {each.lease.run_id for each in rest} == waiting - there
    await until(lambda: store_of(telemetry) is Level.HEALTHY, WAIT_S)


async def kept(core: StateCore, request_id: str) -> ClaimedRun:
    """Have a run that nobody else takes while the test lasts."""
    created = RunCreated(tenant=TENANT, spec=SPEC)
    _, held, _ = await core.runs.create(request_id, b"print", created, by("one", LEASE_S))
    assert held is not None
    return held


async def taken(core: StateCore, count: int) -> list[ClaimedRun]:
    """Ask for work until there was so much."""
    found: list[ClaimedRun] = []
    async with asyncio.timeout(WAIT_S):
        while len(found) < count:
            runs, _ = await core.schedule.poll(by("two", LEASE_S), count, 5)
            found += runs
    return found


async def test_a_cluster_that_serves_nothing_without_it_is_unhealthy(
    cluster: Cluster, core: StateCore, telemetry: Telemetry
) -> None:
    """Its servers answer all the same: only what has a key is refused."""
    first, *others = cluster.nodes
    async with away(first, others, whole="yes"):
        await until(lambda: store_of(telemetry) is Level.UNHEALTHY, WAIT_S)

    await until(lambda: store_of(telemetry) is Level.HEALTHY, WAIT_S)
    await create(core)
