"""The shape of a workflow: what leads where, which edges lead back, and what a loop holds."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pentad.state.v1.workflow_pb2 import Edge, Node, WorkflowSpec
from pentad_chassis.conditions import Names
from pentad_chassis.workflows.expressions import names_of


@dataclass(frozen=True, slots=True)
class Arc:
    """An edge between nodes that exist."""

    place: int
    """Among the edges of the workflow, from 0."""

    source: str
    target: str
    condition: str
    otherwise: bool
    bound: int
    """How often it may lead back; 0 for one that leads on."""

    @property
    def back(self) -> bool:
        """Whether it leads back."""
        return self.bound > 0


@dataclass(frozen=True)
class Shape:
    """A workflow's nodes and edges, put together; what is no node or no edge is left out."""

    nodes: Mapping[str, Node]
    arcs: tuple[Arc, ...]
    out: Mapping[str, tuple[Arc, ...]]
    """Edges that leave a node."""

    into: Mapping[str, tuple[Arc, ...]]
    """Edges that lead on to a node."""

    bodies: Mapping[int, frozenset[str]]
    """What lies between the ends of each edge back: what its loop does again."""

    leaves: Mapping[int, tuple[int, ...]]
    """Of each edge that leads on: the edges back whose loops it leaves."""

    names: Names
    """What its expressions may speak of."""


def shape_of(spec: WorkflowSpec) -> Shape:
    """Return the shape of a workflow, of a wrong one as far as it has one."""
    nodes: dict[str, Node] = {}
    for node in spec.nodes:
        nodes.setdefault(node.name, node)
    arcs = tuple(_arcs(spec.edges, nodes))
    out = _by(nodes, ((arc.source, arc) for arc in arcs))
    into = _by(nodes, ((arc.target, arc) for arc in arcs if not arc.back))
    on = {name: tuple(arc for arc in of if not arc.back) for name, of in out.items()}
    bodies = {arc.place: _body(arc, on, into) for arc in arcs if arc.back}
    return Shape(
        nodes=nodes,
        arcs=arcs,
        out=out,
        into=into,
        bodies=bodies,
        leaves={arc.place: tuple(_left(arc, bodies)) for arc in arcs if not arc.back},
        names=names_of(tuple(nodes)),
    )


def source(edge: Edge) -> str:
    """Return the node that an edge leaves: its field has the name of a word of Python."""
    name: str = getattr(edge, "from")
    return name


def cycle(shape: Shape) -> tuple[str, ...]:
    """Return the nodes of a cycle without an edge back, or nothing."""
    waits_for = {name: {arc.source for arc in arcs} for name, arcs in shape.into.items()}
    while free := [name for name, sources in waits_for.items() if not sources]:
        for name in free:
            del waits_for[name]
        for sources in waits_for.values():
            sources.difference_update(free)
    if not waits_for:
        return ()
    # Each node that is left waits for another one that is: going back meets one twice.
    way = [min(waits_for)]
    while (before := min(waits_for[way[-1]])) not in way:
        way.append(before)
    round_ = list(reversed(way[way.index(before) :]))
    first = round_.index(min(round_))
    return (*round_[first:], *round_[:first])


def alone(shape: Shape) -> frozenset[str]:
    """Return the nodes that no edge joins to the others, in a workflow that has edges."""
    joined = {end for arc in shape.arcs for end in (arc.source, arc.target)}
    return frozenset(shape.nodes) - joined if joined else frozenset()


def _arcs(edges: Iterable[Edge], nodes: Mapping[str, Node]) -> Iterator[Arc]:
    for place, edge in enumerate(edges):
        if source(edge) in nodes and edge.to in nodes:
            yield Arc(
                place,
                source(edge),
                edge.to,
                edge.condition,
                edge.otherwise,
                max(0, edge.max_iterations),
            )


def _by(nodes: Iterable[str], arcs: Iterable[tuple[str, Arc]]) -> dict[str, tuple[Arc, ...]]:
    found: dict[str, list[Arc]] = {name: [] for name in nodes}
    for name, arc in arcs:
        found[name].append(arc)
    return {name: tuple(of) for name, of in found.items()}


def _body(
    arc: Arc, on: Mapping[str, tuple[Arc, ...]], into: Mapping[str, tuple[Arc, ...]]
) -> frozenset[str]:
    before = {arc.source}
    queue = [arc.source]
    while queue:
        for each in into[queue.pop()]:
            if each.source not in before:
                before.add(each.source)
                queue.append(each.source)
    return _reached((arc.target,), on) & before


def _reached(beginning: Iterable[str], out: Mapping[str, tuple[Arc, ...]]) -> frozenset[str]:
    reached = set(beginning)
    queue = list(reached)
    while queue:
        for arc in out[queue.pop()]:
            if arc.target not in reached:
                reached.add(arc.target)
                queue.append(arc.target)
    return frozenset(reached)


def _left(arc: Arc, bodies: Mapping[int, frozenset[str]]) -> Iterator[int]:
    for place, body in bodies.items():
        if arc.source in body and arc.target not in body:
            yield place
