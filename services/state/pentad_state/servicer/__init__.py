"""The services on the wire: requests to arguments, results to responses, and nothing else."""

from pentad_state.servicer.agents import AgentServicer
from pentad_state.servicer.approvals import ApprovalServicer
from pentad_state.servicer.budgets import BudgetServicer
from pentad_state.servicer.effects import EffectServicer
from pentad_state.servicer.entries import EntryServicer
from pentad_state.servicer.jobs import JobServicer
from pentad_state.servicer.registry import RegistryServicer
from pentad_state.servicer.runs import RunServicer
from pentad_state.servicer.sessions import SessionServicer
from pentad_state.servicer.topics import TopicServicer
from pentad_state.servicer.traces import TraceServicer

__all__ = [
    "AgentServicer",
    "ApprovalServicer",
    "BudgetServicer",
    "EffectServicer",
    "EntryServicer",
    "JobServicer",
    "RegistryServicer",
    "RunServicer",
    "SessionServicer",
    "TopicServicer",
    "TraceServicer",
]
