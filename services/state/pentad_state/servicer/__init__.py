"""The services on the wire: requests to arguments, results to responses, and nothing else."""

from pentad_state.servicer.agents import AgentServicer
from pentad_state.servicer.effects import EffectServicer
from pentad_state.servicer.entries import EntryServicer
from pentad_state.servicer.registry import RegistryServicer
from pentad_state.servicer.runs import RunServicer
from pentad_state.servicer.sessions import SessionServicer
from pentad_state.servicer.traces import TraceServicer

__all__ = [
    "AgentServicer",
    "EffectServicer",
    "EntryServicer",
    "RegistryServicer",
    "RunServicer",
    "SessionServicer",
    "TraceServicer",
]
