"""What a workflow names: agents, tools, other workflows, each with its place. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pentad.state.v1.workflow_pb2 import AgentWork, Node, SubWorkflow, ToolWork, WorkflowSpec


class Kind(Enum):
    """Kind of what is named."""

    AGENT = "agent"
    CAPABILITY = "capability"
    TOOL = "tool"
    WORKFLOW = "workflow"


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a workflow names."""

    kind: Kind
    name: str
    at: str
    """Path of the field that names it."""

    taken_back: str = ""
    """Path of what takes back a tool's effect, where something does."""


def needs_of(spec: WorkflowSpec, at: str) -> Iterator[Need]:
    """Yield all that a workflow names itself, and the workflows inside it."""
    for i, node in enumerate(spec.nodes):
        yield from _of_node(node, f"{at}.nodes[{i}]")


def recursion(named: Mapping[str, Sequence[str]], beginning: Sequence[str]) -> tuple[str, ...]:
    """Return workflows that name each other in a circle, or nothing."""
    done: set[str] = set()
    for name in beginning:
        if way := _circle(named, name, (), done):
            return way
    return ()


def _circle(
    named: Mapping[str, Sequence[str]], name: str, way: tuple[str, ...], done: set[str]
) -> tuple[str, ...]:
    if name in way:
        return (*way[way.index(name) :], name)
    if name in done:
        return ()
    for each in named.get(name, ()):
        if circle := _circle(named, each, (*way, name), done):
            return circle
    done.add(name)
    return ()


def _of_node(node: Node, at: str) -> Iterator[Need]:
    undo = f"{at}.compensation" if node.HasField("compensation") else ""
    match node.WhichOneof("work"):
        case "agent":
            yield _of_agent(node.agent, f"{at}.agent")
        case "tool":
            yield _of_tool(node.tool, f"{at}.tool", undo)
        case "workflow":
            yield from _of_sub(node.workflow, f"{at}.workflow")
        case "map":
            yield from _of_map(node, f"{at}.map", undo)
    match node.compensation.WhichOneof("work"):
        case "agent":
            yield _of_agent(node.compensation.agent, f"{undo}.agent")
        case "tool":
            yield _of_tool(node.compensation.tool, f"{undo}.tool")


def _of_map(node: Node, at: str, undo: str) -> Iterator[Need]:
    match node.map.WhichOneof("body"):
        case "agent":
            yield _of_agent(node.map.agent, f"{at}.agent")
        case "tool":
            yield _of_tool(node.map.tool, f"{at}.tool", undo)
        case "workflow":
            yield from _of_sub(node.map.workflow, f"{at}.workflow")


def _of_agent(work: AgentWork, at: str) -> Need:
    if work.HasField("capability"):
        return Need(Kind.CAPABILITY, work.capability, f"{at}.capability")
    return Need(Kind.AGENT, work.name, f"{at}.name")


def _of_tool(work: ToolWork, at: str, undo: str = "") -> Need:
    return Need(Kind.TOOL, work.name, f"{at}.name", undo)


def _of_sub(work: SubWorkflow, at: str) -> Iterator[Need]:
    if work.HasField("inline"):
        yield from needs_of(work.inline, f"{at}.inline")
    else:
        yield Need(Kind.WORKFLOW, work.name, f"{at}.name")
