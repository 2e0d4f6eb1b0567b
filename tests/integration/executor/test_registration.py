"""The executor's place in the registry, from its start to its end."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness.fake_registry import FakeRegistry
from harness.fakes import until
from harness.openai_server import Turn, open_openai_server
from harness.turns import answer_rule, llm_turn, rules_turn

from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceStub
from pentad.state.v1 import registry_service_pb2 as pb
from pentad.state.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from pentad_chassis.channel import open_channel, reading
from pentad_chassis.config import Settings
from pentad_chassis.errors import ResourceExhausted
from pentad_chassis.server import serving
from pentad_chassis.telemetry import silent_telemetry

from .conftest import TIMEOUT_S, Executor, OpenExecutor

QUICK = {"registration_ttl_s": 0.5}
TURN = rules_turn([answer_rule("say", "hello")])


def state(tmp_path: Path, registry: FakeRegistry) -> AbstractAsyncContextManager[None]:
    """Serve a registry where the executor looks for it."""
    settings = Settings(address=f"unix:{tmp_path}/state", drain_grace_s=0.1)
    add = partial(add_RegistryServiceServicer_to_server, registry)
    return serving(settings, silent_telemetry("state"), [add])


@asynccontextmanager
async def in_a_turn(executor: Executor) -> AsyncIterator[None]:
    """Have a turn in progress inside the block."""
    call = executor.stub.ExecuteTurn(llm_turn(), timeout=TIMEOUT_S)
    async with reading(call) as responses:
        await anext(responses)
        yield


async def test_it_says_what_it_is_and_what_it_has_in_hand(
    open_executor: OpenExecutor, tmp_path: Path
) -> None:
    registry = FakeRegistry()
    settings: dict[str, Any] = {"max_turns": 7, "weight": 30, "region": "north", **QUICK}
    async with (
        state(tmp_path, registry),
        open_openai_server([Turn(text="wait", hold=True)]) as server,
        open_executor(
            openai_api_key=server.api_key, openai_base_url=server.base_url, **settings
        ) as executor,
    ):
        await until(lambda: registry.instances)
        (instance,) = registry.instances.values()
        async with in_a_turn(executor):
            await until(lambda: registry.registered[-1].instance.in_hand == 1)
        await until(lambda: registry.registered[-1].instance.in_hand == 0)

    assert instance.address == f"unix:{tmp_path}/executor"
    assert instance.capabilities == ["openai", "rules"]
    assert (instance.room, instance.weight, instance.region) == (7, 30, "north")
    assert {r.instance.instance_id for r in registry.registered} == {instance.instance_id}
    assert {(r.service, r.ttl.ToMilliseconds()) for r in registry.registered} == {("executor", 500)}


async def test_every_start_is_another_instance_at_the_address_it_is_told(
    open_executor: OpenExecutor, tmp_path: Path
) -> None:
    registry = FakeRegistry()
    async with state(tmp_path, registry):
        for _ in range(2):
            async with open_executor(advertise_address="10.1.2.3:50053"):
                await until(lambda: registry.instances)
            assert registry.instances == {}

    first, second = (request.instance for request in registry.registered)
    assert first.instance_id != second.instance_id
    assert first.address == second.address == "10.1.2.3:50053"


async def test_it_leaves_the_registry_while_it_still_takes_turns(
    open_executor: OpenExecutor, tmp_path: Path
) -> None:
    answers: list[str] = []

    class Leaving(FakeRegistry):
        async def Deregister(
            self, request: pb.DeregisterRequest, context: object
        ) -> pb.DeregisterResponse:
            address = f"unix:{tmp_path}/executor"
            client = open_channel("executor", address, Settings(), silent_telemetry("client"))
            async with client as channel:
                stub = ExecutorServiceStub(channel)
                async with reading(stub.ExecuteTurn(TURN, timeout=TIMEOUT_S)) as responses:
                    answers.extend([r.result.message.text async for r in responses])
            return await super().Deregister(request, context)

    registry = Leaving()
    async with state(tmp_path, registry):
        async with open_executor(**QUICK):
            await until(lambda: registry.instances)
        assert registry.instances == {}
    assert answers == ["hello"]


async def test_it_serves_without_a_registry_and_is_known_as_soon_as_there_is_one(
    open_executor: OpenExecutor, tmp_path: Path
) -> None:
    registry = FakeRegistry()
    async with open_executor(**QUICK) as executor:
        await until(lambda: "registry away" in executor.log.getvalue())
        assert (await executor.turn(TURN))[1].message.text == "hello"
        async with state(tmp_path, registry):
            await until(lambda: registry.instances, timeout_s=10.0)
            registry.away = True
            await until(lambda: executor.log.getvalue().count("registry away") == 2)
            registry.away = False
            registry.instances.clear()
            await until(lambda: registry.instances, timeout_s=10.0)
    assert "not deregistered" in executor.log.getvalue(), "the registry was gone first"


async def test_more_turns_than_it_has_room_for_are_refused_at_once(
    open_executor: OpenExecutor,
) -> None:
    async with (
        open_openai_server([Turn(text="wait", hold=True)]) as server,
        open_executor(
            openai_api_key=server.api_key, openai_base_url=server.base_url, max_turns=1
        ) as executor,
    ):
        async with in_a_turn(executor):
            with pytest.raises(ResourceExhausted) as caught:
                await executor.turn(TURN)
        await server.left.wait()
        assert (await executor.turn(TURN))[1].message.text == "hello"

    assert caught.value.reason == "OVERLOADED"
