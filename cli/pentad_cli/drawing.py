"""Workflows drawn: as text for terminals, and for Mermaid and Graphviz."""

from collections.abc import Iterator

from pentad.state.v1.workflow_pb2 import AgentWork, Join, Node, SubWorkflow, WorkflowSpec
from pentad_chassis.workflows.shape import Arc, Shape, shape_of
from pentad_cli.nodes import NodeRun, Nodes, NodeState
from pentad_cli.words import clip

_LABEL = 60
_COLOURS = {
    NodeState.RUNNING: "#fff3bf",
    NodeState.COMPLETED: "#d3f9d8",
    NodeState.SKIPPED: "#f1f3f5",
    NodeState.FAILED: "#ffe3e3",
    NodeState.COMPENSATED: "#ffe8cc",
}


def as_text(spec: WorkflowSpec, nodes: Nodes | None = None) -> Iterator[str]:
    """Yield a workflow as lines: each node in the order of the edges, and where it leads."""
    shape = shape_of(spec)
    width = max((len(name) for name in shape.nodes), default=0)
    for name in ordered(shape):
        mark = "" if nodes is None else f"{_state(nodes, name).value} "
        yield f"{mark}{name:<{width}}  {describe(shape.nodes[name])}{_joined(shape, name)}".rstrip()
        indent = " " * len(mark)
        for run in [] if nodes is None else nodes.of(name):
            yield from _told(indent, run)
        arcs = shape.out[name]
        for arc in arcs:
            corner = "└" if arc is arcs[-1] else "├"
            yield f"{indent}{corner}─{_arrow(arc)}▶ {arc.target}"


def as_mermaid(spec: WorkflowSpec, nodes: Nodes | None = None) -> Iterator[str]:
    """Yield a workflow as a flowchart of Mermaid."""
    shape = shape_of(spec)
    yield "flowchart TD"
    for name in ordered(shape):
        # Names may be words of Mermaid, such as `end`.
        yield f'  n_{name}["{_mermaid(name)}<br/>{_mermaid(describe(shape.nodes[name]))}"]'
    for arc in shape.arcs:
        line = "-.->" if arc.back else "-->"
        label = f'|"{_mermaid(_label(arc))}"|' if _label(arc) else ""
        yield f"  n_{arc.source} {line}{label} n_{arc.target}"
    for name in shape.nodes:
        if nodes is not None and (colour := _COLOURS.get(_state(nodes, name))):
            yield f"  style n_{name} fill:{colour}"


def as_dot(spec: WorkflowSpec, nodes: Nodes | None = None) -> Iterator[str]:
    """Yield a workflow as a graph of Graphviz."""
    shape = shape_of(spec)
    yield "digraph workflow {"
    yield "  node [shape=box, style=filled, fillcolor=white];"
    for name in ordered(shape):
        colour = None if nodes is None else _COLOURS.get(_state(nodes, name))
        fill = f', fillcolor="{colour}"' if colour else ""
        label = _dot(f"{name}\n{describe(shape.nodes[name])}")
        yield f"  {_dot(name)} [label={label}{fill}];"
    for arc in shape.arcs:
        style = ", style=dashed" if arc.back else ""
        yield f"  {_dot(arc.source)} -> {_dot(arc.target)} [label={_dot(_label(arc))}{style}];"
    yield "}"


def ordered(shape: Shape) -> list[str]:
    """Return the nodes so that each stands behind those that lead on to it."""
    left = {name: {arc.source for arc in arcs} for name, arcs in shape.into.items()}
    order: list[str] = []
    while left:
        # A wrong workflow may go in a circle; it is drawn all the same.
        free = [name for name, before in left.items() if not before] or list(left)[:1]
        order += free
        for name in free:
            del left[name]
        for before in left.values():
            before.difference_update(free)
    return order


def describe(node: Node) -> str:
    """Return in words what a node does."""
    kind = node.WhichOneof("work")
    match kind:
        case "agent":
            words = _agent(node.agent)
        case "tool":
            words = f"tool {node.tool.name}"
        case "approval":
            words = f"asks: {clip(node.approval.question, _LABEL)}"
        case "sleep":
            words = f"waits {node.sleep.until or f'{node.sleep.duration.seconds} s'}"
        case "map":
            words = f"for each of {clip(node.map.over, _LABEL)}: {_body(node)}"
        case "workflow":
            words = _sub(node.workflow)
        case _:
            words = "?"
    return f"{words}{_undone(node)}"


def _agent(work: AgentWork) -> str:
    return f"agent {work.name}" if work.name else f"capability {work.capability}"


def _sub(work: SubWorkflow) -> str:
    return f"workflow {work.name}" if work.name else f"{len(work.inline.nodes)} nodes"


def _body(node: Node) -> str:
    match node.map.WhichOneof("body"):
        case "agent":
            return _agent(node.map.agent)
        case "tool":
            return f"tool {node.map.tool.name}"
    return _sub(node.map.workflow)


def _undone(node: Node) -> str:
    match node.compensation.WhichOneof("work"):
        case "tool":
            return f"  (undone by tool {node.compensation.tool.name})"
        case "agent":
            return f"  (undone by {_agent(node.compensation.agent)})"
    return ""


def _joined(shape: Shape, name: str) -> str:
    if shape.nodes[name].join == Join.JOIN_ANY and len(shape.into[name]) > 1:
        return "  (with the first that leads here)"
    return ""


def _told(indent: str, run: NodeRun) -> Iterator[str]:
    tried = f", attempt {run.attempt}" if run.attempt > 1 else ""
    if run.said or tried:
        yield f"{indent}│ {run.path}{tried}: {clip(run.said, _LABEL)}".rstrip(": ")


def _label(arc: Arc) -> str:
    often = f"at most {arc.bound} times" if arc.back else ""
    when = "otherwise" if arc.otherwise else clip(arc.condition, _LABEL)
    return ", ".join(part for part in (when, often) if part)


def _arrow(arc: Arc) -> str:
    label = _label(arc)
    back = "↺" if arc.back else ""
    return f"{back} {label} ─" if label else f"{back}─"


def _state(nodes: Nodes, name: str) -> NodeState:
    runs = nodes.of(name)
    if not runs:
        return NodeState.IDLE
    items = nodes.items(runs[-1].path)
    # What a map did is taken back item by item.
    taken_back = any(item.state is NodeState.COMPENSATED for item in items)
    return NodeState.COMPENSATED if taken_back else runs[-1].state


def _mermaid(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "#quot;").replace("<", "&lt;")


def _dot(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
