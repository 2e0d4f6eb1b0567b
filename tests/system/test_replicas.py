"""Several processes of a service on one host, as `pentad up --replicas` runs them."""

import asyncio
import secrets
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest
from harness.customers import Customers
from harness.suite import Suite, until

from pentad.chassis.v1.status_service_pb2 import LEVEL_HEALTHY
from pentad.gateway.v1.system_service_pb2 import GetSystemStatusRequest, GetSystemStatusResponse
from pentad_chassis.errors import ServiceError

pytestmark = pytest.mark.system

SEVERAL = ("executor", "orchestrator", "tools")
CUSTOMERS = 4
WITHIN_S = 60.0

SOON = {
    "PENTAD_ORCHESTRATOR_LEASE_S": "1.5",
    "PENTAD_ORCHESTRATOR_EXECUTORS_POLL_S": "0.3",
    "PENTAD_TOOLS_HOLD_S": "0.5",
}
_PORTS = (20_000, 32_000)
"""Below those that the kernel gives out, or somebody could have one while its owner is dead."""

_TURNS = (
    "rpc_server_call_duration_seconds_count"
    '{rpc_method="pentad.executor.v1.ExecutorService/ExecuteTurn",rpc_response_status_code="OK"}'
)


def two_ports() -> int:
    """Return the first of two free ports, one after the other."""
    while True:
        port = _PORTS[0] + secrets.randbelow(_PORTS[1] - _PORTS[0])
        try:
            for each in (port, port + 1):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        return port


class Counted(Suite):
    """A suite of two executors, two orchestrators and two tool-runners; turns are counted."""

    def __init__(self, data_dir: Path) -> None:
        self._numbers = two_ports()
        numbers = {"PENTAD_EXECUTOR_METRICS_ADDRESS": f"127.0.0.1:{self._numbers}"}
        replicas = ",".join(f"{service}=2" for service in SEVERAL)
        super().__init__("five", data_dir, {**SOON, **numbers}, replicas)

    def turns(self) -> list[float]:
        """Return how many turns each executor has performed."""
        return [self._turns_at(port) for port in (self._numbers, self._numbers + 1)]

    def _turns_at(self, port: int) -> float:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10.0) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(_TURNS))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    """A suite that tests share, each of whose processes they may kill."""
    suite = Counted(tmp_path_factory.mktemp("pairs") / "data")
    suite.start()
    yield suite
    assert suite.stop(signal.SIGTERM) == 0


async def test_runs_go_through_every_replica(pairs: Counted) -> None:
    async with pairs.open() as kit:
        customers = Customers(kit, "everywhere")

        async def all_had_some() -> bool:
            return all(await asyncio.to_thread(pairs.turns)) and len(owners(customers)) == 2

        async with customers.working(CUSTOMERS):
            await until(all_had_some, WITHIN_S, "both executors perform, both orchestrators own")

    assert customers.errors == []
    customers.check(pairs.notebooks)


def owners(customers: Customers) -> set[str]:
    """Return the orchestrators that began runs which somebody followed."""
    started = (e for events in customers.streams for e in events if e.HasField("run_started"))
    return {event.run_started.owner for event in started}


@pytest.mark.long
@pytest.mark.parametrize("victim", SEVERAL)
async def test_one_of_two_is_killed_and_nothing_is_lost(pairs: Counted, victim: str) -> None:
    """Its place is taken by another process, and no other one notices more than that."""
    others = {s: pairs.children(f"pentad_{s} ") for s in ("state", "gateway", *SEVERAL)}
    died, stayed = others.pop(victim)
    async with pairs.open() as kit:
        customers = Customers(kit, f"killed-{victim}")
        async with customers.working(CUSTOMERS):
            await customers.more(CUSTOMERS)
            pairs.kill9_child(died)
            await until(partial(replaced, pairs, victim, died), WITHIN_S, "there are two again")
            await customers.more(2 * CUSTOMERS)
        await until(partial(all_are_well, pairs, 8), WITHIN_S, "all eight are healthy")

    customers.check(pairs.notebooks)
    assert stayed in pairs.children(f"pentad_{victim} ")
    assert {s: pairs.children(f"pentad_{s} ") for s in others} == others


@pytest.mark.long
@pytest.mark.parametrize("victim", SEVERAL)
async def test_one_of_two_is_stopped_and_no_call_fails(pairs: Counted, victim: str) -> None:
    """As an operator does who wants it started anew."""
    (leaver, _) = pairs.children(f"pentad_{victim} ")
    async with pairs.open() as kit:
        customers = Customers(kit, f"stopped-{victim}")
        async with customers.working(CUSTOMERS):
            await customers.more(CUSTOMERS)
            pairs.signal_child(leaver, signal.SIGTERM)
            await until(partial(replaced, pairs, victim, leaver), WITHIN_S, "there are two again")
            await customers.more(2 * CUSTOMERS)
        await until(partial(all_are_well, pairs, 8), WITHIN_S, "all eight are healthy")

    assert customers.errors == []
    customers.check(pairs.notebooks)


async def test_a_replica_that_is_away_is_shown_beside_the_other(pairs: Counted) -> None:
    stopped, _ = pairs.children("pentad_tools ")

    async def is_missed() -> bool:
        found = await look(pairs)
        levels = [s.level == LEVEL_HEALTHY for s in found.services if s.service == "tools"]
        return sorted(levels) == [False, True]

    pairs.signal_child(stopped, signal.SIGSTOP)
    try:
        await until(is_missed, WITHIN_S, "one of two is unhealthy")
    finally:
        pairs.signal_child(stopped, signal.SIGCONT)
    await until(partial(all_are_well, pairs, 8), WITHIN_S, "all eight are healthy")


@pytest.mark.long
async def test_gateways_share_a_port_and_state_services_an_engine(tmp_path: Path) -> None:
    suite = Suite("five", tmp_path / "data", SOON, replicas="gateway=2,state=2")
    suite.start()
    try:
        gateways: set[str] = set()

        async def both_answer() -> bool:
            found = await look(suite)
            gateways.update(s.instance for s in found.services if s.service == "gateway")
            return len(gateways) == 2

        await until(both_answer, WITHIN_S, "connections go to both gateways")
        async with suite.open() as kit:
            customers = Customers(kit, "shared")
            async with customers.working(CUSTOMERS):
                for victim in ("gateway", "state"):
                    for died in suite.children(f"pentad_{victim} "):
                        await customers.more(CUSTOMERS)
                        suite.kill9_child(died)
                        await until(partial(replaced, suite, victim, died), WITHIN_S, victim)
        customers.check(suite.notebooks)
        # Gateways know nothing of each other: the one that is asked shows itself.
        await until(partial(all_are_well, suite, 6), WITHIN_S, "all are healthy")
    finally:
        assert suite.stop(signal.SIGTERM) == 0


async def replaced(suite: Suite, service: str, died: int) -> bool:
    """Whether the service has two processes, neither of which is the one that died."""
    running = await asyncio.to_thread(suite.children, f"pentad_{service} ")
    return len(running) == 2 and died not in running


async def all_are_well(suite: Suite, count: int) -> bool:
    """Whether so many replicas are there, and all of them are healthy."""
    found = await look(suite)
    return found.level == LEVEL_HEALTHY and len(found.services) == count


async def look(suite: Suite) -> GetSystemStatusResponse:
    """Ask the suite how it is, over a connection of its own; empty where no gateway answers."""
    async with suite.open() as kit:
        try:
            return await kit.client.system.GetSystemStatus(GetSystemStatusRequest(), timeout=10.0)
        except ServiceError:
            return GetSystemStatusResponse()
