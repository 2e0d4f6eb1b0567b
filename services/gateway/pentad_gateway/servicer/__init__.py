"""The public services on the wire: translation only."""

from pentad_gateway.servicer.agents import AgentServicer
from pentad_gateway.servicer.approvals import ApprovalServicer
from pentad_gateway.servicer.budgets import BudgetServicer, UsageServicer
from pentad_gateway.servicer.events import EventServicer
from pentad_gateway.servicer.runs import RunServicer
from pentad_gateway.servicer.schedules import ScheduleServicer
from pentad_gateway.servicer.sessions import SessionServicer
from pentad_gateway.servicer.system import SystemServicer
from pentad_gateway.servicer.tools import ToolServicer
from pentad_gateway.servicer.traces import TraceServicer
from pentad_gateway.servicer.webhooks import WebhookServicer
from pentad_gateway.servicer.workflows import WorkflowServicer

__all__ = [
    "AgentServicer",
    "ApprovalServicer",
    "BudgetServicer",
    "EventServicer",
    "RunServicer",
    "ScheduleServicer",
    "SessionServicer",
    "SystemServicer",
    "ToolServicer",
    "TraceServicer",
    "UsageServicer",
    "WebhookServicer",
    "WorkflowServicer",
]
