"""A suite on five processes, with the doors behind its gateway: the state service and the store."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import redis

from bench.load import CALL_S, System
from bench.processes import family
from bench.start import Metadata, open_plain_suite, until_done
from bench.suite import execute
from bench.usage import memory
from bench.work import ANSWER, QUESTION, Work
from pentad.gateway.v1.agent_service_pb2 import CreateAgentRequest
from pentad.gateway.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.gateway.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.agent_pb2 import Agent, Rule
from pentad.state.v1.run_pb2 import RunSpec
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.telemetry import silent_telemetry

if TYPE_CHECKING:
    from pentad.gateway.v1.run_service_pb2_grpc import RunServiceAsyncStub

CLERK = Agent(name="clerk", model="rules:clerk", rules=[Rule(name="reply", answer=ANSWER)])
_STREAMS_MAX = 20_000
_ROOM = {
    "PENTAD_GATEWAY_MAX_STREAMS": str(_STREAMS_MAX),
    "PENTAD_STATE_MAX_STREAMS": str(_STREAMS_MAX),
}
"""Twice the default: the runs that are measured need room beside the streams that are open."""


class _Settings(Settings, env_prefix="PENTAD_BENCH_"):
    """A caller's own; nobody sets them."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a suite holds at a moment."""

    rss_mb: dict[str, float]
    """Memory by process; the store is `valkey-server` or `redis-server`."""
    store_mb: float
    """What the store says that its data takes."""
    keys: int


@dataclass(frozen=True, slots=True)
class Inside:
    """A suite that is up."""

    runs: "RunServiceAsyncStub"
    """The public API."""
    metadata: Metadata
    processes: Mapping[str, int]
    state: grpc.aio.Channel
    """To the state service, as an orchestrator has one."""
    engine: redis.Redis

    def address(self, service: str) -> str:
        """Return where a service listens."""
        return _told(self.processes[service], f"PENTAD_{service.upper()}_ADDRESS")

    def performing(self, name: str, spec: Callable[[], RunSpec]) -> System:
        """Return the suite as a system whose simple run is whatever `spec` says each time."""
        runs, metadata = self.runs, self.metadata
        works = {Work.SIMPLE: lambda: execute(runs, spec(), metadata)}
        return System(name, works, self.processes)

    def held(self) -> Held:
        """Return what the suite holds now."""
        info = self.engine.info("memory")
        rss_mb = {role: held.rss_mb for role, held in memory(self.processes).items()}
        return Held(rss_mb, info["used_memory"] / 1e6, self.engine.dbsize())


def simple(session_id: str = "") -> RunSpec:
    """Return a simple run, in a session or in none."""
    return RunSpec(agent=CLERK.name, input=QUESTION, session_id=session_id)


@asynccontextmanager
async def open_inside(
    data: Path,
    agents: Sequence[Agent] = (CLERK,),
    variables: Mapping[str, str | Path] | None = None,
) -> AsyncIterator[Inside]:
    """Run a suite on a folder while the block runs, with these agents, the clerk among them."""
    opened = open_plain_suite(data, "--processes", variables={**_ROOM, **(variables or {})})
    async with opened as (channel, metadata, pid):
        registry, runs = AgentServiceStub(channel), RunServiceStub(channel)

        async def begin() -> None:
            for each in agents:
                request = CreateAgentRequest(agent=each, request_id=each.name)
                await registry.CreateAgent(request, metadata=metadata, timeout=CALL_S)
            await execute(runs, simple(), metadata)

        await until_done(begin, ())  # the gateway serves before all that it calls do
        processes = family(pid)
        state = _told(processes["state"], "PENTAD_STATE_ADDRESS")
        socket = (data / "state" / "engine.socket").read_text("utf-8")
        inside = open_channel("state", state, _Settings(), silent_telemetry("bench"))
        async with inside as state_channel:
            with redis.Redis(unix_socket_path=socket) as engine:
                yield Inside(runs, metadata, processes, state_channel, engine)


def _told(pid: int, variable: str) -> str:
    """Return what a process was told by its environment: it alone knows where its socket is."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)[variable]
