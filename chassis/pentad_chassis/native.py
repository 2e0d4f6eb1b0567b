"""Tools that the orchestrator carries out itself: no catalogue has any of these names."""

NAMES = frozenset({"ask_human", "sleep"})
"""Those that an agent lists among its tools."""

_AGENT = "agent_"


def tool_of(agent: str) -> str:
    """Return the name of the tool by which an agent has another one work."""
    return _AGENT + agent.replace("-", "_")


def is_native(tool: str) -> bool:
    """Whether a name is kept for such a tool."""
    return tool in NAMES or tool.startswith(_AGENT)
