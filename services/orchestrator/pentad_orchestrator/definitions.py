"""The native tools as models see them; they stand in no catalogue."""

from functools import cache

from pydantic import BaseModel

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.tool_pb2 import EFFECT_PURE, Tool
from pentad_chassis import native
from pentad_orchestrator.arguments import AskHuman, Delegate, Sleep, schema_of

_DELEGATE = (
    "Give `input` to have it work once; the result is its answer. Give `inputs` to have it work on"
    " each of them, `parallelism` at once; the result lists their outputs and failures."
)


@cache
def tool(name: str) -> Tool:
    """Return the definition of one of `native.NAMES`."""
    models: dict[str, type[BaseModel]] = {"ask_human": AskHuman, "sleep": Sleep}
    model = models[name]
    return Tool(
        name=name,
        description=model.__doc__ or "",
        input_schema=schema_of(model),
        effect=EFFECT_PURE,
        native=True,
    )


def tool_of(agent: Agent) -> Tool:
    """Return the definition of the tool by which another agent has this one work."""
    purpose = agent.description or f"The agent {agent.name}."
    return Tool(
        name=native.tool_of(agent.name),
        description=f"{purpose} {_DELEGATE}",
        input_schema=schema_of(Delegate),
        effect=EFFECT_PURE,
        native=True,
    )
