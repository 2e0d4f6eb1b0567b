"""The one place where the gateway's parts meet."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from pentad.gateway.v1.agent_service_pb2_grpc import add_AgentServiceServicer_to_server
from pentad.gateway.v1.approval_service_pb2_grpc import add_ApprovalServiceServicer_to_server
from pentad.gateway.v1.budget_service_pb2_grpc import add_BudgetServiceServicer_to_server
from pentad.gateway.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from pentad.gateway.v1.run_service_pb2_grpc import add_RunServiceServicer_to_server
from pentad.gateway.v1.schedule_service_pb2_grpc import add_ScheduleServiceServicer_to_server
from pentad.gateway.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from pentad.gateway.v1.system_service_pb2_grpc import add_SystemServiceServicer_to_server
from pentad.gateway.v1.tool_service_pb2_grpc import add_ToolServiceServicer_to_server
from pentad.gateway.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server
from pentad.gateway.v1.usage_service_pb2_grpc import add_UsageServiceServicer_to_server
from pentad.gateway.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server
from pentad.gateway.v1.workflow_service_pb2_grpc import add_WorkflowServiceServicer_to_server
from pentad.orchestrator.v1.orchestrator_service_pb2_grpc import OrchestratorServiceStub
from pentad.orchestrator.v1.schedule_service_pb2_grpc import ScheduleServiceStub
from pentad.orchestrator.v1.trigger_service_pb2_grpc import TriggerServiceStub
from pentad.state.v1.agent_service_pb2_grpc import AgentServiceStub
from pentad.state.v1.approval_service_pb2_grpc import ApprovalServiceStub
from pentad.state.v1.budget_service_pb2_grpc import BudgetServiceStub
from pentad.state.v1.entry_service_pb2_grpc import EntryServiceStub
from pentad.state.v1.job_service_pb2_grpc import JobServiceStub
from pentad.state.v1.run_service_pb2_grpc import RunServiceStub
from pentad.state.v1.session_service_pb2_grpc import SessionServiceStub
from pentad.state.v1.topic_service_pb2_grpc import TopicServiceStub
from pentad.state.v1.trace_service_pb2 import RecordSpansRequest, Span
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceStub
from pentad.tools.v1.tools_service_pb2_grpc import ToolsServiceStub
from pentad.tools.v1.webhook_service_pb2_grpc import WebhookServiceStub
from pentad_chassis.channel import open_channel
from pentad_chassis.clock import SystemClock
from pentad_chassis.server import serving
from pentad_chassis.spans import recording_spans
from pentad_chassis.telemetry import Telemetry
from pentad_gateway.approvals import ApprovalCore
from pentad_gateway.auth import ApiKeys
from pentad_gateway.bootstrap import enrol_first_key
from pentad_gateway.budgets import BudgetCore
from pentad_gateway.config import Config
from pentad_gateway.core import AgentCore, SessionCore, ToolCore, TraceCore
from pentad_gateway.events import EventCore
from pentad_gateway.runs import RunCore
from pentad_gateway.schedules import ScheduleCore
from pentad_gateway.servicer import (
    AgentServicer,
    ApprovalServicer,
    BudgetServicer,
    EventServicer,
    RunServicer,
    ScheduleServicer,
    SessionServicer,
    SystemServicer,
    ToolServicer,
    TraceServicer,
    UsageServicer,
    WebhookServicer,
    WorkflowServicer,
)
from pentad_gateway.system import SystemCore
from pentad_gateway.webhooks import WebhookCore
from pentad_gateway.workflows import WorkflowCore

if TYPE_CHECKING:
    from pentad.state.v1.trace_service_pb2_grpc import TraceServiceAsyncStub

_RUNS = "/pentad.gateway.v1.RunService"

_WAITING = frozenset(
    {
        *(f"{_RUNS}/{name}" for name in ("ExecuteRun", "TailRun", "WaitRun")),
        "/pentad.gateway.v1.EventService/SubscribeTopic",
    }
)
"""Ended at once by a stop: runs and topics go on without those who follow them."""

_NEW_WORK = frozenset({f"{_RUNS}/{name}" for name in ("CreateRun", "ExecuteRun")})
"""Refused at once for a while after the orchestrator had no room."""


@asynccontextmanager
async def open_app(config: Config, telemetry: Telemetry) -> AsyncIterator[None]:
    """Serve while the block runs, which begins once the first key is valid."""
    clock = SystemClock()
    async with (
        open_channel("state", config.state_address, config, telemetry) as state,
        open_channel("orchestrator", config.orchestrator_address, config, telemetry) as runner,
        open_channel("tools", config.tools_address, config, telemetry) as tools,
        recording_spans(telemetry, partial(_record, TraceServiceStub(state))),
    ):
        keys = ApiKeys(EntryServiceStub(state), clock)
        runs = RunCore(RunServiceStub(state), OrchestratorServiceStub(runner), clock, telemetry.log)
        await enrol_first_key(keys, config, telemetry)
        system = SystemServicer(SystemCore(telemetry.health, clock))
        services = _services(runs, state, tools)
        services.append(partial(add_SystemServiceServicer_to_server, system))
        flows = WorkflowCore(EntryServiceStub(state), OrchestratorServiceStub(runner))
        services.append(partial(add_WorkflowServiceServicer_to_server, WorkflowServicer(flows)))
        schedules = ScheduleServicer(ScheduleCore(ScheduleServiceStub(runner), clock))
        services.append(partial(add_ScheduleServiceServicer_to_server, schedules))
        events = EventCore(TopicServiceStub(state), TriggerServiceStub(runner), clock)
        services.append(partial(add_EventServiceServicer_to_server, EventServicer(events)))
        async with serving(
            config, telemetry, services, keys.authenticate, parked=_WAITING, new_work=_NEW_WORK
        ):
            yield


def _services(
    runs: RunCore, state: grpc.aio.Channel, tools: grpc.aio.Channel
) -> list[Callable[[Any], None]]:
    catalogue = ToolsServiceStub(tools)
    agents = AgentCore(AgentServiceStub(state), catalogue)
    approvals = ApprovalCore(ApprovalServiceStub(state))
    sessions = SessionCore(SessionServiceStub(state))
    traces = TraceCore(RunServiceStub(state), TraceServiceStub(state))
    budgets = BudgetCore(BudgetServiceStub(state))
    return [
        partial(add_RunServiceServicer_to_server, RunServicer(runs)),
        partial(add_AgentServiceServicer_to_server, AgentServicer(agents)),
        partial(add_ApprovalServiceServicer_to_server, ApprovalServicer(approvals)),
        partial(add_SessionServiceServicer_to_server, SessionServicer(sessions)),
        partial(add_ToolServiceServicer_to_server, ToolServicer(ToolCore(catalogue))),
        partial(add_TraceServiceServicer_to_server, TraceServicer(traces)),
        partial(add_BudgetServiceServicer_to_server, BudgetServicer(budgets)),
        partial(add_UsageServiceServicer_to_server, UsageServicer(budgets)),
        partial(add_WebhookServiceServicer_to_server, WebhookServicer(_webhooks(state, tools))),
    ]


def _webhooks(state: grpc.aio.Channel, tools: grpc.aio.Channel) -> WebhookCore:
    return WebhookCore(
        EntryServiceStub(state),
        JobServiceStub(state),
        RunServiceStub(state),
        WebhookServiceStub(tools),
    )


async def _record(traces: "TraceServiceAsyncStub", spans: list[Span]) -> None:
    await traces.RecordSpans(RecordSpansRequest(spans=spans))
