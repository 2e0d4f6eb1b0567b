"""Which executor performs a turn, when there are several and when they come and go."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from harness.fakes import FakeExecutor, Turn, fault, until
from integration.orchestrator.world import World, create, fails, says, writes_until

from pentad.executor.v1.executor_service_pb2_grpc import add_ExecutorServiceServicer_to_server
from pentad.state.v1.agent_pb2 import Agent, Routing
from pentad.state.v1.registry_service_pb2 import Instance
from pentad.state.v1.run_pb2 import RunSpec
from pentad_chassis.config import Settings
from pentad_chassis.errors import FailedPrecondition, ResourceExhausted
from pentad_chassis.server import serving
from pentad_chassis.telemetry import silent_telemetry


class Fleet:
    """Executors beside the one at the configured address, which nobody is to ask."""

    def __init__(self, world: World, sockets: Path) -> None:
        self._world = world
        self._sockets = sockets
        self._created = 0
        self.executors: dict[str, FakeExecutor] = {}

    @asynccontextmanager
    async def executor(self, name: str, *script: Turn, **fields: Any) -> AsyncIterator[None]:
        """Serve an executor inside the block, and list it; leaving the block kills it."""
        settings = Settings(address=f"unix:{self._sockets}/{name}", drain_grace_s=0.0)
        fake = self.executors[name] = FakeExecutor(*script or (says(f"by {name}"),))
        add = partial(add_ExecutorServiceServicer_to_server, fake)
        async with serving(settings, silent_telemetry("executor"), [add]):
            given = {"capabilities": ["rules"], "room": 10, "weight": 100, **fields}
            instance = Instance(instance_id=name, address=settings.address, **given)
            self._world.registry.put(instance)
            yield

    @asynccontextmanager
    async def orchestrator(self, **settings: Any) -> AsyncIterator[Any]:
        """Run an orchestrator that has looked who is there."""
        async with self._world.orchestrator(executors_poll_s=0.05, **settings) as stub:
            await self.seen()
            yield stub

    async def seen(self) -> None:
        """Return once an orchestrator has acted on what is listed now."""
        listings = self._world.registry.listings
        await until(lambda: self._world.registry.listings >= listings + 2)

    async def runs(self, stub: Any, count: int, **fields: Any) -> Counter[str]:
        """Have runs of one turn, one after the other; return how many each executor performed."""
        answers = [await self.run(stub, **fields) for _ in range(count)]
        return Counter(answer.removeprefix("by ") for answer in answers)

    async def run(self, stub: Any, **fields: Any) -> str:
        """Have one run; return its answer, or the reason of its failure."""
        self._created += 1
        spec = RunSpec(agent="clerk", input="hello", **fields)
        run = await create(stub, spec, request_id=f"balancing-{self._created}")
        stored = self._world.runs.runs[run.run_id]
        await until(lambda: stored.ended)
        return stored.run.status.output or stored.run.status.failure.reason

    def route(self, routing: str, model: str = "rules:clerk") -> None:
        """Have the clerk's turns go that way."""
        self._world.agents.agents["clerk"] = Agent(
            name="clerk", model=model, routing=Routing.Value(f"ROUTING_{routing}")
        )


@pytest.fixture
def fleet(world: World) -> Any:
    world.executor.script = [fails(fault(FailedPrecondition, "NOBODY_IS_TO_ASK_THIS_ONE"))]
    with TemporaryDirectory() as sockets:
        fleet = Fleet(world, Path(sockets))
        fleet.route("UNSPECIFIED")
        yield fleet


async def test_round_robin_shares_evenly(fleet: Fleet) -> None:
    async with fleet.executor("a"), fleet.executor("b"), fleet.orchestrator() as stub:
        assert await fleet.runs(stub, 10) == {"a": 5, "b": 5}


async def test_turns_go_by_weight(fleet: Fleet) -> None:
    fleet.route("WEIGHTED")
    heavy, light = fleet.executor("a", weight=300), fleet.executor("b", weight=100)
    async with heavy, light, fleet.orchestrator() as stub:
        assert await fleet.runs(stub, 12) == {"a": 9, "b": 3}


async def test_least_busy_counts_what_is_in_hand_for_others_too(fleet: Fleet) -> None:
    fleet.route("LEAST_BUSY")
    async with fleet.executor("a", in_hand=5), fleet.executor("b"), fleet.orchestrator() as stub:
        assert await fleet.runs(stub, 6) == {"b": 6}


async def test_least_busy_counts_our_own_at_once(fleet: Fleet) -> None:
    fleet.route("LEAST_BUSY")
    waiting = writes_until(asyncio.Event().wait, "never")
    async with (
        fleet.executor("a", waiting, says("by a")),
        fleet.executor("b"),
        fleet.orchestrator(drain_grace_s=0.1) as stub,
    ):
        await create(stub, RunSpec(agent="clerk", input="wait"), request_id="first")
        await until(lambda: fleet.executors["a"].requests)
        assert await fleet.runs(stub, 6) == {"b": 6}


async def test_a_session_stays_where_it_is_until_its_executor_goes(fleet: Fleet) -> None:
    fleet.route("SESSION_AFFINITY")
    async with fleet.executor("a"), fleet.executor("b"), fleet.orchestrator() as stub:
        async with fleet.executor("c"):
            await fleet.seen()
            before = [await fleet.runs(stub, 3, session_id=f"s{n}") for n in range(9)]
        after = [await fleet.runs(stub, 2, session_id=f"s{n}") for n in range(9)]

    assert {len(by) for by in (*before, *after)} == {1}, "each stayed at one"
    assert {name for by in before for name in by} == set("abc")
    for was, became in zip(before, after, strict=True):
        assert set(was) == set(became) or set(was) == {"c"}


async def test_near_ones_come_first_and_far_ones_help(fleet: Fleet) -> None:
    fleet.route("NEAREST_REGION")
    async with (
        fleet.executor("far", region="south"),
        fleet.orchestrator(region="north") as stub,
    ):
        async with fleet.executor("near", region="north"):
            await fleet.seen()
            assert await fleet.runs(stub, 5) == {"near": 5}
        assert await fleet.runs(stub, 2) == {"far": 2}


async def test_the_settings_strategy_holds_where_the_agent_has_no_wish(fleet: Fleet) -> None:
    near, far = fleet.executor("near", region="north"), fleet.executor("far")
    async with near, far, fleet.orchestrator(routing="nearest_region", region="north") as stub:
        assert await fleet.runs(stub, 4) == {"near": 4}


async def test_turns_go_to_those_who_have_the_models_provider(fleet: Fleet) -> None:
    fleet.route("ROUND_ROBIN", model="openai:gpt-5")
    refusal = fails(fault(FailedPrecondition, "MODEL_NOT_CONFIGURED"))
    async with (
        fleet.executor("a", refusal),
        fleet.executor("b", capabilities=["openai", "rules"]),
        fleet.orchestrator() as stub,
    ):
        assert await fleet.runs(stub, 4) == {"b": 4}
        fleet.route("ROUND_ROBIN", model="anthropic:claude")
        fleet.executors["b"].script = [refusal]
        assert await fleet.runs(stub, 1) == {"MODEL_NOT_CONFIGURED": 1}


async def test_a_full_executor_is_passed_over_at_once(fleet: Fleet) -> None:
    full = fails(fault(ResourceExhausted, "OVERLOADED"))
    async with fleet.executor("a", full), fleet.executor("b"), fleet.orchestrator() as stub:
        assert await fleet.runs(stub, 4) == {"b": 4}


async def test_a_turn_whose_executor_is_killed_is_restarted_at_another(
    fleet: Fleet, world: World
) -> None:
    writing = writes_until(asyncio.Event().wait, "never", "so far ")
    async with fleet.executor("b"), fleet.orchestrator() as stub:
        b = world.registry.instances.pop("b")
        async with fleet.executor("a", writing):
            await fleet.seen()
            await create(stub, RunSpec(agent="clerk", input="hello"))
            await until(lambda: world.runs.only.pieces)
            world.registry.put(b)
            await fleet.seen()
        stored = await world.ended()

    assert stored.kinds == [
        "run_created", "run_started", "turn_started", "turn_failed", "turn_restarted",
        "turn_completed", "run_completed",
    ]  # fmt: skip
    assert stored.run.status.output == "by b"
    failed = stored.events[3].turn_failed
    assert (failed.retryable, failed.cut_short) == (True, True)


async def test_an_executor_that_left_gets_nothing_new_and_finishes_what_it_has(
    fleet: Fleet, world: World
) -> None:
    gate = asyncio.Event()
    waiting = writes_until(gate.wait, "by a, in the end")
    async with fleet.executor("a", waiting), fleet.orchestrator() as stub:
        first = await create(stub, RunSpec(agent="clerk", input="wait"), request_id="first")
        await until(lambda: fleet.executors["a"].requests)
        async with fleet.executor("b"):
            del world.registry.instances["a"]
            await fleet.seen()
            assert await fleet.runs(stub, 4) == {"b": 4}
            gate.set()
            stored = world.runs.runs[first.run_id]
            await until(lambda: stored.ended)

    assert stored.run.status.output == "by a, in the end"


async def test_a_new_executor_gets_turns_without_anybody_doing_anything(fleet: Fleet) -> None:
    async with fleet.executor("a"), fleet.orchestrator() as stub:
        assert await fleet.runs(stub, 2) == {"a": 2}
        async with fleet.executor("b"):
            await fleet.seen()
            assert await fleet.runs(stub, 4) == {"a": 2, "b": 2}


async def test_without_a_registry_turns_go_to_the_configured_address(
    fleet: Fleet, world: World
) -> None:
    world.registry.away = True
    world.executor.script = [says("by the only one")]
    async with fleet.orchestrator() as stub:
        assert await fleet.run(stub) == "by the only one"


async def test_a_registry_that_goes_away_takes_nobody_with_it(fleet: Fleet, world: World) -> None:
    async with fleet.executor("a"), fleet.orchestrator() as stub:
        world.registry.away = True
        await fleet.seen()
        assert await fleet.runs(stub, 2) == {"a": 2}
