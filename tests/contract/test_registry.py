"""What the store promises about the replicas of a service."""

import asyncio

import pytest
from harness.engines import ask
from harness.fakes import until
from harness.machines import LONG_S, SHORT_S, SMALL, CoreMachine
from harness.runs import seconds
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from pentad.state.v1.registry_service_pb2 import Instance
from pentad_chassis.errors import InvalidArgument
from pentad_state.core import StateCore
from pentad_state.errors import PayloadTooLarge
from pentad_state.partitions import key, partition_of

KEYS = [
    key(partition_of("executor"), kind, "executor") for kind in ("instances", "instances-expiries")
]


def instance(instance_id: str, in_hand: int = 0) -> Instance:
    return Instance(
        instance_id=instance_id,
        address=f"unix:/run/{instance_id}",
        capabilities=["openai", "rules"],
        room=200,
        in_hand=in_hand,
        weight=300,
        region="north",
    )


async def register(core: StateCore, given: Instance, ttl_s: float = 60.0) -> None:
    await core.registry.register("executor", given, seconds(ttl_s))


async def ids(core: StateCore, service: str = "executor") -> list[str]:
    return [each.instance_id for each in await core.registry.list_instances(service)]


async def test_instances_are_listed_by_id_as_they_said_last(core: StateCore) -> None:
    await register(core, instance("b"))
    await register(core, instance("a"))
    (_, first) = await core.registry.list_instances("executor")
    await asyncio.sleep(0.002)
    await register(core, instance("b", in_hand=7))

    (a, b) = await core.registry.list_instances("executor")

    assert (a.instance_id, b.instance_id, b.in_hand) == ("a", "b", 7)
    assert b.create_time == first.create_time == first.update_time
    assert b.update_time.ToNanoseconds() > first.update_time.ToNanoseconds()
    for given, found in ((instance("a"), a), (instance("b", in_hand=7), b)):
        found.ClearField("create_time")
        found.ClearField("update_time")
        assert found == given


async def test_an_instance_without_a_weight_has_the_usual_one(core: StateCore) -> None:
    await register(core, Instance(instance_id="a", address="unix:/a"))

    (found,) = await core.registry.list_instances("executor")

    assert found.weight == 100


async def test_services_are_apart(core: StateCore) -> None:
    await register(core, instance("a"))
    await core.registry.register("tools", instance("b"), seconds(60))
    await core.registry.deregister("tools", "a")

    assert await ids(core) == ["a"]
    assert await ids(core, "tools") == ["b"]
    assert await ids(core, "gateway") == []


async def test_a_silent_instance_is_forgotten(core: StateCore, engine: str) -> None:
    await register(core, instance("a"), ttl_s=0.1)
    await register(core, instance("b"), ttl_s=0.1)
    await register(core, instance("b"), ttl_s=60)
    await asyncio.sleep(0.15)

    assert await ids(core) == ["b"]
    await register(core, instance("c"))
    assert ask(engine, "HLEN", KEYS[0]) == ask(engine, "ZCARD", KEYS[1]) == 2


async def test_one_that_comes_back_is_new(core: StateCore) -> None:
    await register(core, instance("a"))
    (before,) = await core.registry.list_instances("executor")
    await core.registry.deregister("executor", "a")
    await core.registry.deregister("executor", "a")
    assert await ids(core) == []
    await asyncio.sleep(0.002)

    await register(core, instance("a"))

    (after,) = await core.registry.list_instances("executor")
    assert after.create_time.ToNanoseconds() > before.create_time.ToNanoseconds()


async def test_nothing_stays_of_a_service_that_is_gone(core: StateCore, engine: str) -> None:
    await register(core, instance("a"), ttl_s=60.0)
    assert 0 < int(str(ask(engine, "PTTL", KEYS[0]))) <= 60_000

    await register(core, instance("a"), ttl_s=0.1)

    await until(lambda: [ask(engine, "EXISTS", each) for each in KEYS] == [0, 0])


async def test_one_more_than_the_most_replaces_the_next_to_be_forgotten(core: StateCore) -> None:
    every = [f"{i:04d}" for i in range(1000)]
    await asyncio.gather(*(register(core, instance(each)) for each in every if each != "0500"))
    await register(core, instance("0500"), ttl_s=30)
    assert await ids(core) == every

    await register(core, instance("new"))

    assert await ids(core) == sorted({*every, "new"} - {"0500"})


async def test_bounds_are_refused_with_their_field(core: StateCore) -> None:
    for field, given in (
        ("instance.instance_id", Instance(address="unix:/a")),
        ("instance.address", Instance(instance_id="a")),
        ("instance.room", Instance(instance_id="a", address="unix:/a", room=-1)),
        ("instance.in_hand", Instance(instance_id="a", address="unix:/a", in_hand=-1)),
        ("instance.weight", Instance(instance_id="a", address="unix:/a", weight=-1)),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await register(core, given)
        assert caught.value.metadata["field"] == field
    with pytest.raises(PayloadTooLarge):
        await register(core, Instance(instance_id="a", address="unix:/a", region="x" * 5000))
    with pytest.raises(InvalidArgument):
        await core.registry.register("", instance("a"), seconds(60))
    for ttl_s in (0, 601):
        with pytest.raises(InvalidArgument):
            await register(core, instance("a"), ttl_s)


class RegistryMachine(CoreMachine):
    """Instances of one service, that come, beat and go."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.model: dict[str, int] = {}

    @rule(
        name=st.sampled_from(["a", "ab", "b", "ü"]),
        in_hand=st.integers(0, 3),
        ttl_s=st.sampled_from([SHORT_S, LONG_S]),
    )
    def register(self, name: str, in_hand: int, ttl_s: float) -> None:
        step = self.core.registry.register("executor", instance(name, in_hand), seconds(ttl_s))
        self.run(step)
        self.model[name] = in_hand
        if ttl_s == SHORT_S:
            self.expire()
            del self.model[name]

    @rule(name=st.sampled_from(["a", "ab", "b", "ü"]))
    def deregister(self, name: str) -> None:
        self.run(self.core.registry.deregister("executor", name))
        self.model.pop(name, None)

    @invariant()
    def the_living_are_listed(self) -> None:
        found = self.run(self.core.registry.list_instances("executor"))
        assert [each.instance_id for each in found] == sorted(self.model)
        assert {each.instance_id: each.in_hand for each in found} == self.model


def test_it_follows_the_model(engine: str) -> None:
    run_state_machine_as_test(lambda: RegistryMachine(engine), settings=SMALL)  # type: ignore[arg-type] # a factory will do
