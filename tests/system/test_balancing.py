"""Each strategy on real replicas: two executors, everything else once, over the public API."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness.builders import agent, answer, ask
from harness.fakes import until
from harness.openai_server import Turn, open_openai_server
from harness.replicas import FIRST, Replicas, open_replicas
from harness.suite import Kit
from harness.turns import llm_turn
from pydantic import SecretStr

from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceStub
from pentad.state.v1.registry_service_pb2 import ListInstancesRequest
from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceStub
from pentad.state.v1.run_pb2 import RunStatus
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.config import Settings
from pentad_chassis.telemetry import silent_telemetry

if TYPE_CHECKING:
    from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub

pytestmark = pytest.mark.system

NORTH, SOUTH = FIRST, "south"


@pytest.fixture
async def replicas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replicas]:
    """A suite whose first executor and whose orchestrator are in the north."""
    for name, value in {
        "PENTAD_STATE_DURABILITY": "process",
        "PENTAD_EXECUTOR_REGION": "north",
        "PENTAD_EXECUTOR_WEIGHT": "300",
        "PENTAD_EXECUTOR_REGISTRATION_TTL_S": "3",
        "PENTAD_ORCHESTRATOR_REGION": "north",
        "PENTAD_ORCHESTRATOR_EXECUTORS_POLL_S": "0.05",
    }.items():
        monkeypatch.setenv(name, value)
    async with open_replicas(tmp_path / "data") as opened:
        yield opened


async def shares(replicas: Replicas, routing: str, count: int, session: str = "") -> Counter[str]:
    """Have runs of one turn, one after the other; return how many each executor performed."""
    async with replicas.kit() as kit:
        await kit.apply(agent("clerk", answer("hello"), routing=f"ROUTING_{routing}"))
        before = replicas.turns()
        for _ in range(count):
            await kit.execute(ask("clerk", session_id=session))
    return replicas.turns() - before


async def test_round_robin(replicas: Replicas) -> None:
    async with replicas.executor(SOUTH):
        assert await shares(replicas, "ROUND_ROBIN", 10) == {NORTH: 5, SOUTH: 5}


async def test_weighted(replicas: Replicas) -> None:
    async with replicas.executor(SOUTH, weight=100):
        assert await shares(replicas, "WEIGHTED", 12) == {NORTH: 9, SOUTH: 3}


async def test_nearest_region(replicas: Replicas) -> None:
    async with replicas.executor(SOUTH, region="south"):
        assert await shares(replicas, "NEAREST_REGION", 6) == {NORTH: 6}
    async with replicas.executor("also north"):
        assert await shares(replicas, "NEAREST_REGION", 6) == {NORTH: 3, "also north": 3}


async def test_session_affinity(replicas: Replicas) -> None:
    async with replicas.executor(SOUTH):
        by = [await shares(replicas, "SESSION_AFFINITY", 2, f"s{n}") for n in range(20)]
    assert {len(each) for each in by} == {1}
    assert {name for each in by for name in each} == {NORTH, SOUTH}


async def test_least_busy(replicas: Replicas) -> None:
    """One is kept busy by somebody else; its signs of life tell the orchestrator."""
    settings, client = Settings(), silent_telemetry("client")
    async with (
        open_openai_server([Turn(text="wait", hold=True)], repeat=True) as server,
        replicas.executor(
            SOUTH, openai_base_url=server.base_url, openai_api_key=SecretStr(server.api_key)
        ),
        open_channel("executor", replicas.address(SOUTH), settings, client) as south,
        open_channel("state", replicas.address("state"), settings, client) as state,
        AsyncExitStack() as turns,
    ):
        for _ in range(3):
            call = ExecutorServiceStub(south).ExecuteTurn(llm_turn(), timeout=60.0)
            await anext(await turns.enter_async_context(reading(call)))
        await in_hand(RegistryServiceStub(state), 3)
        await replicas.seen()

        assert await shares(replicas, "LEAST_BUSY", 6) == {NORTH: 6}


async def in_hand(registry: "RegistryServiceAsyncStub", count: int) -> None:
    """Return once some executor has said that it has so many turns in hand."""
    request = ListInstancesRequest(service="executor")
    async with asyncio.timeout(10.0):
        while True:
            response = await registry.ListInstances(request)
            if any(instance.in_hand == count for instance in response.instances):
                return
            await asyncio.sleep(0.02)


def performs(replicas: Replicas, name: str, turns: int) -> bool:
    """Whether an executor has performed so many turns."""
    return replicas.turns()[name] >= turns


async def test_executors_come_and_go_under_load_and_no_run_notices(replicas: Replicas) -> None:
    enough = asyncio.Event()

    async def caller(kit: Kit) -> list[RunStatus.State.ValueType]:
        ended = []
        while not enough.is_set():
            ended.append((await kit.wait((await kit.create(ask("clerk"))).run_id)).status.state)
        return ended

    async with replicas.kit() as kit:
        await kit.apply(agent("clerk", answer("hello")))
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(caller(kit)) for _ in range(4)]
            for n in range(3):
                async with replicas.executor(f"guest {n}"):
                    await until(partial(performs, replicas, f"guest {n}", 5))
            enough.set()

    states = {state for each in callers for state in each.result()}
    assert states == {RunStatus.STATE_COMPLETED}
