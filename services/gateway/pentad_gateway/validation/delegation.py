"""Whom an agent has to ask, and whom it may ask to work."""

from collections.abc import Collection

from pentad.state.v1.agent_pb2 import Agent
from pentad_chassis import approvals, native
from pentad_gateway.validation.bounds import AGENT_NAME, Bounds

AGENTS = 16
APPROVALS = 64
TOOL_NAME_CHARACTERS = 64
"""Providers take no longer ones."""

EVERY_TOOL = "*"


def callable_tools(agent: Agent) -> frozenset[str]:
    """Return the names of all that an agent may call: its tools, and its agents as tools."""
    return frozenset((*agent.tools, *map(native.tool_of, agent.agents)))


def check_agents(bounds: Bounds, agent: Agent) -> None:
    """Check the agents that an agent may have work done by."""
    bounds.count("agent.agents", len(agent.agents), AGENTS)
    names = agent.agents[:AGENTS]
    bounds.unique("agent.agents[{}]", names)
    for i, name in enumerate(names):
        bounds.name(f"agent.agents[{i}]", name, AGENT_NAME)
        if name == agent.name:
            bounds.broken(f"agent.agents[{i}]", "must be another agent")
        elif len(native.tool_of(name)) > TOOL_NAME_CHARACTERS:
            most = TOOL_NAME_CHARACTERS - len(native.tool_of(""))
            bounds.broken(
                f"agent.agents[{i}]", f"must have at most {most} characters: it is called as a tool"
            )


def check_approvals(bounds: Bounds, agent: Agent, tools: Collection[str]) -> None:
    """Check which calls of an agent's `tools` need a person's approval."""
    bounds.count("agent.approvals", len(agent.approvals), APPROVALS)
    asked = agent.approvals[:APPROVALS]
    bounds.unique("agent.approvals[{}].tool", [each.tool for each in asked])
    for i, each in enumerate(asked):
        if each.tool != EVERY_TOOL and each.tool not in tools:
            bounds.broken(f"agent.approvals[{i}].tool", "must be one of the agent's tools, or `*`")
        bounds.violations += approvals.violations(each.policy, f"agent.approvals[{i}].policy")
