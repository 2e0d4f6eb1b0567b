"""The view of the executors, and who is asked for a turn, without a network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from harness.fake_registry import FakeRegistry
from harness.fakes import direct, fault

from pentad.state.v1.agent_pb2 import Routing
from pentad.state.v1.registry_service_pb2 import Instance
from pentad_chassis.errors import CircuitOpen, ResourceExhausted, ServiceError, Unavailable
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator.config import Config
from pentad_orchestrator.executors import Executors, Route

UNLISTED = "unlisted"
ROUTE = Route(Routing.ROUTING_UNSPECIFIED, "rules", "key")


class Fleet:
    """Executors whose stubs are their addresses, and the channels that lead to them."""

    def __init__(self, *instances: Instance, **settings: Any) -> None:
        self.registry = FakeRegistry(*instances)
        self.open: list[str] = []
        self.opened: list[str] = []
        log = silent_telemetry("orchestrator").log
        config = Config(**settings)
        self.executors = Executors(direct(self.registry), self.connect, UNLISTED, config, log)  # type: ignore[arg-type]
        self.refusals: dict[str, ServiceError] = {}
        self.asked: list[str] = []

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[Any]:
        self.open.append(address)
        self.opened.append(address)
        await asyncio.sleep(0)
        yield address
        self.open.remove(address)

    async def turn(self, route: Route = ROUTE) -> str:
        """Have one turn performed; return by whom."""

        async def attempt(stub: Any) -> str:
            self.asked.append(stub)
            if refusal := self.refusals.get(stub):
                raise refusal
            return str(stub)

        return await self.executors.perform(route, attempt)

    async def turns(self, count: int, routing: str = "UNSPECIFIED") -> list[str]:
        route = Route(Routing.Value(f"ROUTING_{routing}"), "rules", "key")
        return [await self.turn(route) for _ in range(count)]


def listed(name: str, *capabilities: str, **fields: Any) -> Instance:
    given = {"room": 10, "weight": 100, **fields}
    return Instance(
        instance_id=name, address=name, capabilities=capabilities or ("rules",), **given
    )


async def seen(*instances: Instance, **settings: Any) -> Fleet:
    fleet = Fleet(*instances, **settings)
    await fleet.executors.look()
    return fleet


async def test_with_nobody_listed_the_configured_address_has_to_do() -> None:
    fleet = await seen()

    assert await fleet.turn() == UNLISTED


async def test_what_the_orchestrator_is_set_to_holds_for_agents_that_do_not_say() -> None:
    fleet = await seen(listed("a", weight=300), listed("b"), routing="weighted")

    assert sorted(await fleet.turns(4)) == list("aaab")
    assert sorted(await fleet.turns(4, "ROUND_ROBIN")) == list("aabb")


async def test_only_those_with_the_provider_are_asked_even_when_they_refuse() -> None:
    fleet = await seen(listed("a", "rules"), listed("b", "openai", "rules"))
    fleet.refusals["b"] = fault(Unavailable, "UNAVAILABLE")

    with pytest.raises(Unavailable):
        await fleet.turn(Route(Routing.ROUTING_ROUND_ROBIN, "openai", "key"))
    assert fleet.asked == ["b"]


async def test_if_none_has_the_provider_any_may_say_so() -> None:
    fleet = await seen(listed("a"), listed("b"))

    assert await fleet.turn(Route(Routing.ROUTING_ROUND_ROBIN, "anthropic", "key")) == "a"


async def test_who_refuses_is_passed_over() -> None:
    fleet = await seen(listed("a"), listed("b"), listed("c"))
    fleet.refusals["a"] = fault(ResourceExhausted, "OVERLOADED")
    fleet.refusals["b"] = CircuitOpen("executor", 2.0)

    assert await fleet.turns(3) == list("ccc")
    assert fleet.asked[:3] == list("abc")


async def test_when_all_refuse_each_was_asked_once_and_the_shortest_pause_is_kept() -> None:
    fleet = await seen(listed("a"), listed("b"))
    fleet.refusals["a"] = CircuitOpen("executor", 2.0)
    fleet.refusals["b"] = fault(ResourceExhausted, "OVERLOADED")
    fleet.refusals["b"].retry_after_s = 1.0

    with pytest.raises(ResourceExhausted):
        await fleet.turn()
    assert fleet.asked == ["a", "b"]


async def test_while_the_registry_is_away_the_view_stays() -> None:
    fleet = await seen(listed("a"))
    fleet.registry.away = True
    fleet.registry.instances.clear()

    await fleet.executors.look()

    assert await fleet.turn() == "a"
    fleet.registry.away = False
    await fleet.executors.look()
    assert await fleet.turn() == UNLISTED


async def test_a_channel_is_opened_once_for_each_that_appears() -> None:
    fleet = await seen(listed("a"), listed("b"))
    await fleet.turns(4)
    fleet.registry.put(listed("c"))
    await fleet.executors.look()
    await fleet.turns(4)

    assert fleet.opened == fleet.open == ["a", "b", "c"]


async def test_a_channel_is_closed_when_its_executor_is_gone_and_its_turns_have_ended() -> None:
    fleet = await seen(listed("a"), listed("b"))
    begun, gate = asyncio.Event(), asyncio.Event()

    async def attempt(stub: Any) -> str:
        begun.set()
        await gate.wait()
        return str(stub)

    first = asyncio.create_task(fleet.executors.perform(ROUTE, attempt))
    await begun.wait()
    assert await fleet.turn() == "b"
    fleet.registry.instances.clear()
    await fleet.executors.look()
    assert fleet.open == ["a"]

    gate.set()
    assert await first == "a"
    assert fleet.open == []


async def test_closing_leaves_no_channel() -> None:
    fleet = await seen(listed("a"), listed("b"))
    await fleet.turns(2)

    await fleet.executors.close()

    assert fleet.open == []


async def test_of_two_at_one_address_the_later_one_counts() -> None:
    """A killed executor is not forgotten at once, and must not double its successor's share."""
    fleet = await seen(listed("a"), listed("z"))
    fleet.registry.put(Instance(instance_id="later", address="a", capabilities=["rules"]))
    await fleet.executors.look()

    assert sorted(await fleet.turns(4)) == list("aazz")


async def test_our_own_turns_are_not_counted_twice() -> None:
    """A sign of life counts what we have in hand too; of that we know better how much it is."""
    fleet = await seen(listed("a"), listed("b"))
    begun, gate = asyncio.Event(), asyncio.Event()

    async def attempt(_: Any) -> None:
        begun.set()
        await gate.wait()

    ours = asyncio.create_task(fleet.executors.perform(ROUTE, attempt))
    await begun.wait()
    assert await fleet.turns(2, "LEAST_BUSY") == ["b", "b"]
    fleet.registry.put(listed("a", in_hand=1))
    await fleet.executors.look()
    gate.set()
    await ours

    assert sorted(await fleet.turns(2, "LEAST_BUSY")) == ["a", "b"]
    fleet.registry.put(listed("b", in_hand=1))
    await fleet.executors.look()
    assert await fleet.turns(2, "LEAST_BUSY") == ["a", "a"]
