"""What is wrong with a request: pure functions from a request to its violations."""

from pentad_gateway.validation.agents import (
    create_agent,
    delete_agent,
    get_agent,
    list_agents,
    unknown_tools,
    update_agent,
)
from pentad_gateway.validation.lookups import (
    get_tool,
    list_messages,
    list_sessions,
    name_session,
)
from pentad_gateway.validation.runs import (
    cancel_run,
    create_run,
    get_run,
    list_runs,
    resume_run,
    tail_run,
    wait_run,
)

__all__ = [
    "cancel_run",
    "create_agent",
    "create_run",
    "delete_agent",
    "get_agent",
    "get_run",
    "get_tool",
    "list_agents",
    "list_messages",
    "list_runs",
    "list_sessions",
    "name_session",
    "resume_run",
    "tail_run",
    "unknown_tools",
    "update_agent",
    "wait_run",
]
