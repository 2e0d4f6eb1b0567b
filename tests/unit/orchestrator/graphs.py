"""Graphs for tests: built in a line, and driven by outcomes that a test chooses."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import ParseDict
from unit.orchestrator.story import Story

from pentad.state.v1.event_pb2 import ChildEnded, ChildStarted, Event, RunCreated, TimerFired
from pentad.state.v1.run_pb2 import Failure, RunSpec, RunStatus
from pentad.state.v1.tool_pb2 import Tool
from pentad.state.v1.workflow_pb2 import PinnedGraph, WorkflowSpec
from pentad_orchestrator import plan
from pentad_orchestrator.commands import AwaitTimer, Command, InvokeTool, StartChild
from pentad_orchestrator.graph.state import InGraph

TOOLS = ("do", "undo")


def workflow(nodes: Mapping[str, Any], *edges: Any, **fields: Any) -> WorkflowSpec:
    """Return a workflow; an edge is `a b`, with fields behind it or without."""
    given = [edge if isinstance(edge, tuple) else (edge, {}) for edge in edges]
    spec = {
        "nodes": [{"name": name, **node} for name, node in nodes.items()],
        "edges": [{"from": ends.split()[0], "to": ends.split()[1], **more} for ends, more in given],
        **fields,
    }
    return ParseDict(spec, WorkflowSpec())


def tool(
    *, undone: bool = False, arguments: Mapping[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """Return a node that calls a tool, and one that takes it back."""
    node: dict[str, Any] = {"tool": {"name": "do", "arguments": arguments or {}}}
    if undone:
        node["compensation"] = {"tool": {"name": "undo", "arguments": {"what": "${output}"}}}
    return {**node, **fields}


def agent(text: str = "go", **fields: Any) -> dict[str, Any]:
    """Return a node that asks an agent."""
    return {"agent": {"name": "clerk", "input": text}, **fields}


def created(spec: WorkflowSpec, text: str = "") -> RunCreated:
    """Return the creation of a run of a workflow."""
    return RunCreated(
        tenant="acme",
        spec=RunSpec(input=text, graph=spec),
        tools=[Tool(name=name) for name in TOOLS],
        graph=PinnedGraph(spec=spec),
    )


def begun(spec: WorkflowSpec, text: str = "") -> Story:
    """Return a run of a workflow whose first owner has taken it."""
    return Story(created(spec, text)).start()


def child_starts(command: StartChild) -> Event:
    """Return the outcome of a child's start."""
    told = ChildStarted(key=command.key, index=command.index, run_id=f"c/{command.key}")
    return Event(child_started=told)


def child_ends(key: str, output: str = "", index: int = 0, reason: str = "") -> Event:
    """Return the word of a child's end."""
    status = RunStatus(state=RunStatus.STATE_COMPLETED, output=output)
    if reason:
        failure = Failure(reason=reason, message="no")
        status = RunStatus(state=RunStatus.STATE_FAILED, failure=failure)
    if reason == "CANCELLED":
        status = RunStatus(state=RunStatus.STATE_CANCELLED)
    return Event(child_ended=ChildEnded(key=key, index=index, status=status))


def fires(key: str) -> Event:
    """Return that a time has come."""
    return Event(timer_fired=TimerFired(key=key))


def commands(story: Story) -> list[Command]:
    """Return what is in execution but for the deadline."""
    kinds = (InvokeTool, StartChild, AwaitTimer)
    return [each for each in plan.decide(story.run) if isinstance(each, kinds)]


def calls(story: Story) -> list[str]:
    """Return the calls in hand."""
    return [each.call_id for each in commands(story) if isinstance(each, InvokeTool)]


def starts(story: Story) -> list[tuple[str, int]]:
    """Return the runs that are to be started."""
    return [(each.key, each.index) for each in children(story)]


def graph_of(story: Story) -> InGraph:
    """Return the graph that is worked on."""
    assert isinstance(story.run.phase, InGraph)
    return story.run.phase


def given_to(story: Story, call_id: str) -> Any:
    """Return the arguments of a call."""
    return json.loads(graph_of(story).call(call_id).wish.arguments.text)


def children(story: Story) -> list[StartChild]:
    """Return what is asked of the runs that are to be started."""
    return [each for each in commands(story) if isinstance(each, StartChild)]


def start_all(story: Story) -> None:
    """Have all runs begin that are to be started."""
    while found := children(story):
        story.record(*map(child_starts, found))


def told(story: Story) -> list[str]:
    """Return what happened to nodes, in words."""
    words = []
    for event in story.events:
        kind = str(event.WhichOneof("kind"))
        if kind.startswith(("node_", "compensation_", "unwinding", "graph_")):
            body = getattr(event, kind)
            path = getattr(body, "path", "") or getattr(body, "node", "")
            words.append(f"{kind.removeprefix('node_')} {path}".strip())
    return words


def output(story: Story) -> str:
    """Return the run's output."""
    return plan.status(story.run).output
