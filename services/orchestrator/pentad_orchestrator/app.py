"""The one place where the parts meet."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
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
from pentad.orchestrator.v1.schedule_service_pb2_grpc import (
    add_ScheduleServiceServicer_to_server,
)
from pentad.orchestrator.v1.trigger_service_pb2_grpc import add_TriggerServiceServicer_to_server
from pentad.state.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceStub
from pentad.state.v1.entry_service_pb2_grpc import EntryServiceStub
from pentad.state.v1.job_service_pb2_grpc import JobServiceStub
from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceStub
from pentad.state.v1.run_service_pb2 import Claim, ClaimedRun
from pentad.state.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.session_service_pb2_grpc import SessionServiceStub
from pentad.state.v1.topic_service_pb2_grpc import TopicServiceStub
from pentad.state.v1.trace_service_pb2 import RecordSpansRequest, Span
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceStub
from pentad_chassis.channel import open_channel
from pentad_chassis.clock import SystemClock, random_id
from pentad_chassis.health import always
from pentad_chassis.server import serving
from pentad_chassis.spans import recording_spans
from pentad_chassis.telemetry import Telemetry
from pentad_orchestrator.allowances import Allowances
from pentad_orchestrator.callbacks import Callbacks
from pentad_orchestrator.calls import Calls
from pentad_orchestrator.catalogue import Catalogue
from pentad_orchestrator.claims import Claims
from pentad_orchestrator.config import Config
from pentad_orchestrator.conversation import Conversation
from pentad_orchestrator.core import OrchestratorCore
from pentad_orchestrator.creation import Creation
from pentad_orchestrator.departures import Departures
from pentad_orchestrator.driver import Driver, Owner
from pentad_orchestrator.executors import Executors
from pentad_orchestrator.forks import Forks
from pentad_orchestrator.group import open_group
from pentad_orchestrator.jobs import Handler, working_off
from pentad_orchestrator.journal import Journal
from pentad_orchestrator.leases import Leases
from pentad_orchestrator.loops import forever
from pentad_orchestrator.metrics import RunMetrics
from pentad_orchestrator.offspring import Offspring
from pentad_orchestrator.owned import OwnedRuns
from pentad_orchestrator.patience import Patience
from pentad_orchestrator.performer import Performer
from pentad_orchestrator.relays import Relays
from pentad_orchestrator.schedules.core import ScheduleCore
from pentad_orchestrator.schedules.firing import Firings
from pentad_orchestrator.schedules.servicer import ScheduleServicer
from pentad_orchestrator.schedules.store import ScheduleStore
from pentad_orchestrator.servicer import OrchestratorServicer
from pentad_orchestrator.text import TextSink
from pentad_orchestrator.trials import Trials
from pentad_orchestrator.triggers.core import TriggerCore
from pentad_orchestrator.triggers.running import Triggering
from pentad_orchestrator.triggers.servicer import TriggerServicer
from pentad_orchestrator.triggers.store import TriggerStore
from pentad_orchestrator.turns import Turns
from pentad_orchestrator.workflows import Workflows

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
    creation: Creation


@asynccontextmanager
async def open_app(config: Config, telemetry: Telemetry) -> AsyncIterator[None]:
    """Accept and drive runs while the block runs; leaving it hands back what is not done."""
    claim = _claim(config)
    async with (
        open_channel("state", config.state_address, config, telemetry) as state,
        open_channel("tools", config.tools_address, config, telemetry) as tools,
        _executors(config, telemetry, state) as executors,
        recording_spans(telemetry, partial(_record, TraceServiceStub(state))),
        _creating(config, state, tools) as creation,
        _working(config, telemetry, claim, _Peers(state, executors, tools, creation)) as owned,
    ):
        runs, jobs = RunServiceStub(state), JobServiceStub(state)
        entries, sessions = EntryServiceStub(state), SessionServiceStub(state)
        callbacks, topics = Callbacks(entries), TopicServiceStub(state)
        core = OrchestratorCore(runs, creation, callbacks, owned, claim)
        triggers = TriggerStore(entries, topics, jobs, SystemClock())
        triggering = Triggering(triggers, topics, core.create_run, telemetry)
        schedules = ScheduleStore(entries, jobs, SystemClock())
        firings = Firings(schedules, runs, core.create_run, telemetry)
        scheduling = ScheduleCore(schedules, firings, creation, SystemClock())
        accepting = OrchestratorServicer(core, Forks(runs, sessions))
        services = [
            partial(add_OrchestratorServiceServicer_to_server, accepting),
            partial(add_ScheduleServiceServicer_to_server, ScheduleServicer(scheduling)),
            partial(
                add_TriggerServiceServicer_to_server,
                TriggerServicer(TriggerCore(triggers, creation, callbacks)),
            ),
        ]
        handlers = _handlers(Relays(runs), Departures(sessions), firings, triggering)
        async with (
            working_off(jobs, handlers, claim.owner, config, telemetry),
            serving(config, telemetry, services, new_work=_NEW_WORK),
        ):
            try:
                yield
            finally:
                # While the last calls are answered, runs come to rest already.
                owned.rest()


def _handlers(
    relays: Relays, departures: Departures, firings: Firings, triggering: Triggering
) -> Mapping[str, Handler]:
    """Return who does which kind of job."""
    return {
        "signal_run": relays.signal,
        "cancel_run": relays.cancel,
        "leave_session": departures.leave,
        "fire_schedule": firings.fire,
        "run_trigger": triggering.run,
    }


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


@asynccontextmanager
async def _creating(
    config: Config, state: grpc.aio.Channel, tools: grpc.aio.Channel
) -> AsyncIterator[Creation]:
    """Know agents and tools inside the block."""
    catalogue = Catalogue(ToolsServiceStub(tools), config.catalogue_max_age_s, SystemClock())
    workflows = Workflows(EntryServiceStub(state), catalogue)
    yield Creation(AgentServiceStub(state), workflows, catalogue)


def _performer(config: Config, peers: _Peers, text: TextSink, patience: Patience) -> Performer:
    clock = SystemClock()
    allowances = Allowances(BudgetServiceStub(peers.state), patience, clock)
    return Performer(
        Turns(peers.executors, text, patience),
        Calls(ToolsServiceStub(peers.tools), allowances, patience, clock),
        _conversation(config, peers.state, patience),
        Offspring(RunServiceStub(peers.state), peers.creation, patience),
    )


def _conversation(config: Config, state: grpc.aio.Channel, patience: Patience) -> Conversation:
    return Conversation(SessionServiceStub(state), RunServiceStub(state), patience, config)


def _claim(config: Config) -> Claim:
    """Return what this process asks for: in whose name, and for how long."""
    lease = Duration()
    lease.FromNanoseconds(int(config.lease_s * 1e9))
    return Claim(owner=f"{socket.gethostname()}-{os.getpid()}-{random_id()[:8]}", lease=lease)


async def _record(traces: "TraceServiceAsyncStub", spans: list[Span]) -> None:
    await traces.RecordSpans(RecordSpansRequest(spans=spans), timeout=_RECORD_TIMEOUT_S)
