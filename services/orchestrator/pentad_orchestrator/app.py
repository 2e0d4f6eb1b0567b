"""The one place where the parts meet."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import grpc
from google.protobuf.duration_pb2 import Duration

from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceStub
from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import (
    add_OrchestratorServiceServicer_to_server,
)
from pentad.state.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceStub
from pentad.state.v1.run_service_pb2 import Claim, ClaimedRun
from pentad.state.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.session_service_pb2_grpc import SessionServiceStub
from pentad.state.v1.trace_service_pb2 import RecordSpansRequest, Span
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceStub
from pentad_chassis.channel import open_channel
from pentad_chassis.clock import SystemClock, random_id
from pentad_chassis.health import always
from pentad_chassis.server import serving
from pentad_chassis.spans import recording_spans
from pentad_chassis.telemetry import Telemetry
from pentad_orchestrator.calls import Calls
from pentad_orchestrator.catalogue import Catalogue
from pentad_orchestrator.claims import Claims
from pentad_orchestrator.config import Config
from pentad_orchestrator.conversation import Conversation
from pentad_orchestrator.core import OrchestratorCore
from pentad_orchestrator.creation import Creation
from pentad_orchestrator.driver import Driver, Owner
from pentad_orchestrator.executors import Executors
from pentad_orchestrator.group import open_group
from pentad_orchestrator.journal import Journal
from pentad_orchestrator.leases import Leases
from pentad_orchestrator.loops import forever
from pentad_orchestrator.metrics import RunMetrics
from pentad_orchestrator.owned import OwnedRuns
from pentad_orchestrator.patience import Patience
from pentad_orchestrator.performer import Performer
from pentad_orchestrator.servicer import OrchestratorServicer
from pentad_orchestrator.text import TextSink
from pentad_orchestrator.trials import Trials
from pentad_orchestrator.turns import Turns

if TYPE_CHECKING:
    from pentad.executor.v1.executor_service_pb2_grpc import ExecutorServiceAsyncStub
    from pentad.state.v1.trace_service_pb2_grpc import TraceServiceAsyncStub

_RECORD_TIMEOUT_S = 5.0
_NEW_WORK = frozenset({"/pentad.orchestrator.v1.OrchestratorService/CreateRun"})
"""Refused when the orchestrator has too much to do: runs in work go before new ones."""


@dataclass(frozen=True, slots=True)
class _Peers:
    state: grpc.aio.Channel
    executors: Executors
    tools: grpc.aio.Channel


@asynccontextmanager
async def open_app(config: Config, telemetry: Telemetry) -> AsyncIterator[None]:
    """Accept and drive runs while the block runs; leaving it hands back what is not done."""
    claim = _claim(config)
    async with (
        open_channel("state", config.state_address, config, telemetry) as state,
        open_channel("tools", config.tools_address, config, telemetry) as tools,
        _executors(config, telemetry, state) as executors,
        recording_spans(telemetry, partial(_record, TraceServiceStub(state))),
        _working(config, telemetry, claim, _Peers(state, executors, tools)) as owned,
    ):
        catalogue = Catalogue(ToolsServiceStub(tools), config.catalogue_max_age_s, SystemClock())
        creation = Creation(AgentServiceStub(state), catalogue)
        core = OrchestratorCore(RunServiceStub(state), creation, owned, claim)
        servicer = OrchestratorServicer(core)
        register = partial(add_OrchestratorServiceServicer_to_server, servicer)
        async with serving(config, telemetry, [register], new_work=_NEW_WORK):
            try:
                yield
            finally:
                # While the last calls are answered, runs come to rest already.
                owned.rest()


@asynccontextmanager
async def _working(
    config: Config, telemetry: Telemetry, claim: Claim, peers: _Peers
) -> AsyncIterator[OwnedRuns]:
    """Claim runs and drive them; leaving stops claiming first and keeps leases to the last."""
    clock, log = SystemClock(), telemetry.log
    runs = RunServiceStub(peers.state)
    patience = Patience(config.retry_s_first, config.retry_s_max, log)
    text = TextSink(runs, config.text_interval_s, log)
    performer = _performer(config, peers, text, patience)
    metrics = RunMetrics(telemetry.metrics, config.metrics_tenants)
    owner = Owner(claim.owner, Trials())

    def drive(claimed: ClaimedRun) -> Driver:
        journal = Journal(runs, claimed.lease, claimed.last_seq, patience, clock, config.lease_s)
        return Driver(claimed, owner, performer, journal, telemetry, metrics)

    async with open_group() as tasks:
        owned = OwnedRuns(tasks, drive, config, clock, log, metrics)
        leases = Leases(runs, claim, owned, clock, log)
        claims = Claims(runs, claim, owned, patience, config.claim_wait_s)
        telemetry.health.watch("runs", owned.condition)
        telemetry.health.watch("leases", leases.condition)
        claiming = tasks.create_task(forever(claims.claim, what="claim", log=log))
        keeping = [
            tasks.create_task(forever(leases.renew, what="renew", log=log)),
            tasks.create_task(forever(leases.guard, what="guard", log=log)),
            tasks.create_task(forever(text.send, what="text", log=log)),
            tasks.create_task(forever(peers.executors.watch, what="executors", log=log)),
        ]
        try:
            yield owned
        finally:
            claiming.cancel()
            async for left in owned.drain(config.drain_grace_s):
                await leases.release(left)
            for task in keeping:
                task.cancel()


@asynccontextmanager
async def _executors(
    config: Config, telemetry: Telemetry, state: grpc.aio.Channel
) -> AsyncIterator[Executors]:
    """Have a view of the executors, and channels to them, inside the block."""

    @asynccontextmanager
    async def connect(
        address: str, needed: Callable[[], bool] = always
    ) -> AsyncIterator["ExecutorServiceAsyncStub"]:
        async with open_channel("executor", address, config, telemetry, needed=needed) as channel:
            yield ExecutorServiceStub(channel)

    def nobody_listed() -> bool:
        return not executors.listed

    registry = RegistryServiceStub(state)
    async with connect(config.executor_address, nobody_listed) as unlisted:
        executors = Executors(registry, connect, unlisted, config, telemetry.log)
        try:
            yield executors
        finally:
            await executors.close()


def _performer(config: Config, peers: _Peers, text: TextSink, patience: Patience) -> Performer:
    return Performer(
        Turns(peers.executors, text, patience),
        Calls(ToolsServiceStub(peers.tools), patience, SystemClock()),
        Conversation(SessionServiceStub(peers.state), patience, config),
    )


def _claim(config: Config) -> Claim:
    """Return what this process asks for: in whose name, and for how long."""
    lease = Duration()
    lease.FromNanoseconds(int(config.lease_s * 1e9))
    return Claim(owner=f"{socket.gethostname()}-{os.getpid()}-{random_id()[:8]}", lease=lease)


async def _record(traces: "TraceServiceAsyncStub", spans: list[Span]) -> None:
    await traces.RecordSpans(RecordSpansRequest(spans=spans), timeout=_RECORD_TIMEOUT_S)
