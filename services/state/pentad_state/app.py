"""Where the parts of the state service meet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from pentad.state.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from pentad.state.v1.approval_service_pb2_grpc import add_ApprovalServiceServicer_to_server
from pentad.state.v1.budget_service_pb2_grpc import add_BudgetServiceServicer_to_server
from pentad.state.v1.effect_service_pb2_grpc import add_EffectServiceServicer_to_server
from pentad.state.v1.entry_service_pb2_grpc import add_EntryServiceServicer_to_server
from pentad.state.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from pentad.state.v1.registry_service_pb2_grpc import add_RegistryServiceServicer_to_server
from pentad.state.v1.run_service_pb2_grpc import add_RunServiceServicer_to_server
from pentad.state.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from pentad.state.v1.topic_service_pb2_grpc import add_TopicServiceServicer_to_server
from pentad.state.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server
from pentad_chassis.clock import SystemClock
from pentad_chassis.server import serving
from pentad_chassis.spans import recording_spans
from pentad_chassis.telemetry import Telemetry
from pentad_state.config import Config
from pentad_state.connection import Endpoint
from pentad_state.core import StateCore
from pentad_state.engine import open_engine
from pentad_state.exchange import Copies
from pentad_state.metrics import StateMetrics
from pentad_state.pipe import Pipe
from pentad_state.pulse import Pulse
from pentad_state.servicer import (
    AgentServicer,
    ApprovalServicer,
    BudgetServicer,
    EffectServicer,
    EntryServicer,
    JobServicer,
    RegistryServicer,
    RunServicer,
    SessionServicer,
    TopicServicer,
    TraceServicer,
)
from pentad_state.signals import Listener, Signals
from pentad_state.topology import store_at
from pentad_state.waiting import running

_PARKED = frozenset(
    f"/pentad.state.v1.{rpc}"
    for rpc in (
        "RunService/ClaimRuns", "RunService/WaitRun", "RunService/TailRun", "JobService/ClaimJobs",
        "TopicService/ReadTopic", "TopicService/TailTopic",
    )
)  # fmt: skip
"""Calls that only wait for something to happen; a stop ends them at once."""


@asynccontextmanager
async def open_app(config: Config, telemetry: Telemetry) -> AsyncIterator[None]:
    """Serve while the block runs; leaving it undoes every step in reverse."""
    async with _store_url(config, telemetry) as url, open_core(url, config, telemetry) as core:
        services = [
            partial(add_RunServiceServicer_to_server, RunServicer(core)),
            partial(add_SessionServiceServicer_to_server, SessionServicer(core)),
            partial(add_EntryServiceServicer_to_server, EntryServicer(core)),
            partial(add_EffectServiceServicer_to_server, EffectServicer(core)),
            partial(add_AgentServiceServicer_to_server, AgentServicer(core)),
            partial(add_RegistryServiceServicer_to_server, RegistryServicer(core)),
            partial(add_TraceServiceServicer_to_server, TraceServicer(core)),
            partial(add_BudgetServiceServicer_to_server, BudgetServicer(core)),
            partial(add_ApprovalServiceServicer_to_server, ApprovalServicer(core)),
            partial(add_JobServiceServicer_to_server, JobServicer(core)),
            partial(add_TopicServiceServicer_to_server, TopicServicer(core)),
        ]
        async with (
            recording_spans(telemetry, core.traces.record),
            serving(config, telemetry, services, parked=_PARKED),
        ):
            yield


@asynccontextmanager
async def open_core(url: str, config: Config, telemetry: Telemetry) -> AsyncIterator[StateCore]:
    """Have the core of the service over the store at `url` while the block runs."""
    metrics = StateMetrics(telemetry.metrics)
    copies = Copies(config.replicas, config.replica_wait_s)
    alarm = asyncio.Event()

    def open_pipe(endpoint: Endpoint) -> Pipe:
        waited_for = copies if config.durability == "replicated" else None
        return Pipe(endpoint, config.reply_s, telemetry, metrics, waited_for, alarm.set)

    store, endpoint = store_at(url, open_pipe, telemetry)
    core = StateCore.over(store, config, SystemClock(), metrics)
    metrics.watch(lambda: store.waiting, lambda: core.watchers.count)
    listeners: dict[str, Listener] = {
        "work": core.schedule,
        "runs": core.watchers,
        "jobs": core.job_queues,
        "topics": core.subscribers,
    }
    signals = Signals(endpoint, listeners, telemetry)
    pulse = Pulse(store, config, telemetry, alarm)
    async with running(store.serve(), signals.serve()):
        await pulse.begin()
        # Nobody sees the depth where nobody reads the numbers, and an idle suite is to be idle.
        sampled = [metrics.sample(store)] if config.metrics_address else []
        async with running(pulse.serve(), core.watchers.serve(), *sampled):
            yield core


@asynccontextmanager
async def _store_url(config: Config, telemetry: Telemetry) -> AsyncIterator[str]:
    if config.redis_url is not None:
        yield config.redis_url.get_secret_value()
        return
    async with open_engine(config, telemetry) as url:
        yield url
