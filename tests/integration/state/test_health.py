"""The state service says how its store is, and callers that balance by health go elsewhere."""

import os
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness.processes import command_of, tree_of
from harness.suite import until

from pentad.chassis.v1 import status_service_pb2 as pb
from pentad.chassis.v1.status_service_pb2_grpc import StatusServiceStub
from pentad.state.v1.entry_service_pb2 import GetEntryRequest, PutEntryRequest
from pentad.state.v1.entry_service_pb2_grpc import EntryServiceStub
from pentad_chassis.channel import open_channel
from pentad_chassis.errors import Unavailable
from pentad_chassis.telemetry import silent_telemetry
from pentad_state import engine as module
from pentad_state.app import open_app
from pentad_state.config import Config
from pentad_state.engine import find_binary

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Outside:
    """The service as its callers see it, over connections that know no health."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._status = StatusServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)

    async def status(self) -> pb.ServiceStatus:
        response = await self._status.GetStatus(pb.GetStatusRequest(), timeout=5.0)
        return response.services[0]

    async def serves(self) -> bool:
        request = health_pb2.HealthCheckRequest(service="pentad.state.v1.RunService")
        return bool((await self._health.Check(request, timeout=5.0)).status == SERVING)

    async def serves_not(self) -> bool:
        return not await self.serves()


class Binary:
    """The engine under a name that can be taken away: without it, none starts."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._target = find_binary()
        self.put_back()

    def put_back(self) -> None:
        self.link.symlink_to(self._target)

    def take_away(self) -> None:
        self.link.unlink()

    @property
    def pids(self) -> list[int]:
        """The engines that run."""
        return [p for p in tree_of(os.getpid()) if command_of(p).startswith(str(self.link))]

    def kill(self) -> int:
        """Kill the only engine, and return which it was."""
        (pid,) = self.pids
        os.kill(pid, signal.SIGKILL)
        return pid


@pytest.fixture
def binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Binary:
    made = Binary(tmp_path / "engine-under-test")
    monkeypatch.setattr(module, "find_binary", lambda: made.link)
    return made


async def test_a_killed_engine_is_an_unhealthy_service_that_recovers_with_its_data(
    tmp_path: Path, binary: Binary
) -> None:
    config = Config(address=f"unix:{tmp_path}/s", data_dir=tmp_path / "data")
    telemetry = silent_telemetry("state")
    async with (
        open_app(config, telemetry),
        open_channel("state", config.address, config, silent_telemetry("test")) as channel,
        grpc.aio.insecure_channel(config.address) as plain,
    ):
        entries, outside = EntryServiceStub(channel), Outside(plain)
        await entries.PutEntry(PutEntryRequest(scope="s", key="k", value=b"kept"))
        assert (await outside.status()).level == pb.LEVEL_HEALTHY

        binary.take_away()
        killed = binary.kill()
        await until(outside.serves_not, what="an engine that is away takes the service out")
        status = await outside.status()
        assert status.level == pb.LEVEL_UNHEALTHY
        (store,) = [c for c in status.conditions if c.name == "store"]
        assert store.level == pb.LEVEL_UNHEALTHY
        assert "cannot be reached" in store.reason
        with pytest.raises(Unavailable):
            await entries.GetEntry(GetEntryRequest(scope="s", key="k"))

        binary.put_back()
        await until(outside.serves, what="an engine that is back brings the service back")
        assert (await outside.status()).level == pb.LEVEL_HEALTHY
        assert killed not in binary.pids

        async def is_kept() -> bool:
            try:
                found = await entries.GetEntry(GetEntryRequest(scope="s", key="k"))
            except Unavailable:
                return False  # callers find the service again within their own backoff
            return bool(found.entry.value == b"kept")

        await until(is_kept, what="what was acknowledged is there")


async def test_an_engine_that_dies_again_and_again_is_started_again_and_again(
    tmp_path: Path, binary: Binary
) -> None:
    config = Config(address=f"unix:{tmp_path}/s", data_dir=tmp_path / "data")
    async with (
        open_app(config, silent_telemetry("state")),
        grpc.aio.insecure_channel(config.address) as plain,
    ):
        outside = Outside(plain)
        killed: set[int] = set()

        async def another_runs() -> bool:
            return len(set(binary.pids) - killed) == 1

        for _ in range(3):
            killed.add(binary.kill())
            await until(another_runs, what="another engine")
        await until(outside.serves, what="the service stays up")
