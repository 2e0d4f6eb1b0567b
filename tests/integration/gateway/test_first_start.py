"""The first key of a new installation."""

import asyncio
import stat
from io import StringIO

import pytest
from integration.gateway.client import bearer, key_of, open_client
from integration.gateway.fakes import Peers

from pentad.gateway.v1.run_service_pb2 import ListRunsRequest
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad_chassis.telemetry import open_telemetry, silent_telemetry
from pentad_gateway.app import open_app
from pentad_gateway.auth import SCOPE
from pentad_gateway.config import Config
from pentad_gateway.keys import digest, generate_key

TELEMETRY = silent_telemetry("gateway")


async def works(config: Config, key: str) -> bool:
    async with open_client(config) as channel:
        await RunServiceStub(channel).ListRuns(ListRunsRequest(), metadata=bearer(key))
    return True


async def test_the_key_file_is_its_owners_and_state_holds_a_digest(
    peers: Peers, config: Config
) -> None:
    async with peers.open_state(), open_app(config, TELEMETRY):
        key = key_of(config)
        assert await works(config, key)

    assert stat.S_IMODE(config.api_key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.api_key_file.parent.stat().st_mode) == 0o700
    assert list(peers.entries.values) == [(SCOPE, digest(key))]
    assert key.encode() not in b"".join(peers.entries.values.values())


async def test_a_second_start_keeps_the_key_even_where_state_forgot_it(
    peers: Peers, config: Config
) -> None:
    async with peers.open_state():
        async with open_app(config, TELEMETRY):
            key = config.api_key_file.read_text()
        async with open_app(config, TELEMETRY):
            assert config.api_key_file.read_text() == key
        peers.entries.values.clear()
        async with open_app(config, TELEMETRY):
            assert await works(config, key.strip())


async def test_gateways_that_start_at_once_agree_on_one_key(peers: Peers, config: Config) -> None:
    configs = [
        config.model_copy(update={"address": peers.address(f"gateway{i}")}) for i in range(4)
    ]
    started = asyncio.Barrier(len(configs) + 1)
    over = asyncio.Event()

    async def run(one: Config) -> None:
        async with open_app(one, TELEMETRY):
            await started.wait()
            await over.wait()

    async with peers.open_state(), asyncio.TaskGroup() as group:
        for one in configs:
            group.create_task(run(one))
        await started.wait()
        key = key_of(config)
        assert all([await works(one, key) for one in configs])
        over.set()

    assert len(peers.entries.values) == 1


async def test_a_configured_key_wins_over_the_file(peers: Peers, config: Config) -> None:
    key = generate_key()
    settings = config.model_dump() | {"api_key": key}
    async with peers.open_state(), open_app(Config(**settings), TELEMETRY):
        assert await works(config, key)

    assert not config.api_key_file.exists()


class Log(StringIO):
    """Tells when somebody says that they wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = asyncio.Event()

    def write(self, text: str) -> int:
        if "waiting for the state service" in text:
            self.waiting.set()
        return super().write(text)


async def test_a_gateway_that_starts_first_waits_for_state(peers: Peers, config: Config) -> None:
    log, serving, over = Log(), asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with open_app(config, open_telemetry("gateway", stream=log)):
            serving.set()
            await over.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(run())
        await log.waiting.wait()
        assert not serving.is_set()
        async with peers.open_state():
            await serving.wait()
            assert await works(config, key_of(config))
        over.set()

    assert log.getvalue().count("waiting for the state service") == 1


async def test_a_gateway_that_waits_for_state_can_be_stopped(config: Config) -> None:
    log = Log()

    async def run() -> None:
        async with open_app(config, open_telemetry("gateway", stream=log)):
            pytest.fail("there is no state service")

    starting = asyncio.create_task(run())
    await log.waiting.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
