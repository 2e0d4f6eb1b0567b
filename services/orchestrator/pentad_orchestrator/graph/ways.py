"""Which nodes may begin, and which edges are taken. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pentad.state.v1.run_pb2 import Failure
from pentad.state.v1.workflow_pb2 import Join
from pentad_chassis.conditions import ConditionInvalid, ConditionUndecided, Kind
from pentad_chassis.workflows.expressions import EDGE, Json, holds
from pentad_chassis.workflows.shape import Arc, Shape
from pentad_orchestrator.graph.state import InGraph, Standing
from pentad_orchestrator.graph.values import failed

LOOP_LIMIT_REACHED = "LOOP_LIMIT_REACHED"


@dataclass(frozen=True, slots=True)
class Taken:
    """What follows a node that has completed."""

    edges: tuple[int, ...] = ()
    failure: Failure | None = None
    """Why nothing does."""


def taken(graph: InGraph, node: str, values: Mapping[str, Json]) -> Taken:
    """Return the edges that are taken from a node; one that leads back is taken alone."""
    arcs = graph.shape.out[node]
    seen = {**values, "iteration": graph.rounds.get(node, 0)}
    try:
        exhausted = False
        for arc in arcs:
            if arc.back and _holds(graph.shape, arc, seen):
                if graph.loops.get(arc.place, 0) < arc.bound:
                    return Taken((arc.place,))
                exhausted = exhausted or bool(arc.condition)
        on = tuple(a for a in arcs if not a.back)
        edges = tuple(a.place for a in on if not a.otherwise and _holds(graph.shape, a, seen))
    except (ConditionInvalid, ConditionUndecided) as error:
        return Taken(failure=failed(f"a condition of an edge from {node}: {error}"))
    edges = edges or tuple(arc.place for arc in on if arc.otherwise)
    if exhausted and not edges:
        message = f"the condition of an edge back from {node} still holds after its last iteration"
        return Taken(failure=Failure(reason=LOOP_LIMIT_REACHED, message=message))
    return Taken(edges)


def ready(graph: InGraph) -> Iterator[tuple[str, bool]]:
    """Yield the idle nodes whose turn has come, and whether they begin; else they are skipped."""
    held = frozenset[str]().union(*(graph.shape.bodies[place] for place in graph.repeating))
    for place in graph.repeating:
        body = graph.shape.bodies[place]
        if not any(graph.standing(node) is Standing.RUNNING for node in body):
            yield target(graph, place), True
    for node in graph.shape.nodes:
        if graph.standing(node) is Standing.IDLE and node not in held:
            begins = _begins(graph, node)
            if begins is not None:
                yield node, begins


def target(graph: InGraph, place: int) -> str:
    """Return the node that an edge back leads to."""
    return next(arc.target for arc in graph.shape.arcs if arc.place == place)


def loop_of(graph: InGraph, node: str) -> int | None:
    """Return the edge back by which a node is about to begin again."""
    return next((place for place in graph.repeating if target(graph, place) == node), None)


def begun_again(graph: InGraph, place: int) -> InGraph:
    """Return the graph with all that lies in a loop as it was before it was done.

    What a loop has led out to stays so; what it did not lead to is open again.
    """
    body = graph.shape.bodies[place]
    gone = {
        arc.place
        for arc in graph.shape.arcs
        if arc.source in body
        and not (graph.edges.get(arc.place) and not arc.back and arc.target not in body)
    }
    inner = {arc.place for arc in graph.shape.arcs if arc.back and arc.source in body}
    return graph.having(
        edges={at: known for at, known in graph.edges.items() if at not in gone},
        standings={node: s for node, s in graph.standings.items() if node not in body},
        repeating=tuple(at for at in graph.repeating if at not in inner),
    )


def _begins(graph: InGraph, node: str) -> bool | None:
    """Whether a node begins or is skipped; None while that is not known."""
    into = graph.shape.into[node]
    if not into:
        return True
    known = [_known(graph, arc) for arc in into]
    if graph.shape.nodes[node].join == Join.JOIN_ANY and True in known:
        return True
    return None if None in known else True in known


def _known(graph: InGraph, arc: Arc) -> bool | None:
    """Whether an edge is taken; None while it may still be.

    One that is not taken out of a loop may be so in the next round, until the loop is over.
    """
    is_taken = graph.edges.get(arc.place)
    if is_taken is False and any(
        graph.edges.get(back) is not False for back in graph.shape.leaves[arc.place]
    ):
        return None
    return is_taken


def _holds(shape: Shape, arc: Arc, values: Mapping[str, Json]) -> bool:
    if arc.otherwise:
        return False
    if not arc.condition:
        return True
    names = (*shape.names, *((name, Kind.ANYTHING) for name in EDGE))
    return holds(arc.condition, names, values)
