"""Maps: when enough is done, and what comes of it. Pure."""

from pentad.state.v1.run_pb2 import Failure
from pentad_chassis.workflows.expressions import Json
from pentad_orchestrator.graph.state import InGraph, Unit

PARALLELISM = 8


def wanted(graph: InGraph, unit: Unit) -> int:
    """Return how many items of a map have to succeed."""
    first = graph.shape.nodes[unit.node].map.first
    return min(first or len(unit.items), len(unit.items))


def succeeded(graph: InGraph, unit: Unit) -> bool:
    """Whether enough items of a map have."""
    return len(unit.outputs) >= wanted(graph, unit)


def is_decided(graph: InGraph, unit: Unit) -> bool:
    """Whether nothing more of a map is to be begun: enough succeeded, or cannot any more."""
    left = len(unit.items) - len(unit.failures)
    return succeeded(graph, unit) or left < wanted(graph, unit)


def is_closing(graph: InGraph, unit: Unit) -> bool:
    """Whether the map of an item goes on without it."""
    of = graph.map_of(unit)
    return of is not None and is_decided(graph, of)


def under_way(graph: InGraph, unit: Unit) -> int:
    """Return how many items of a map are."""
    return sum(each.item is not None and each.map == unit.path for each in graph.units.values())


def next_item(graph: InGraph, unit: Unit) -> int | None:
    """Return the item of a map that is to begin now, if one is."""
    limit = graph.shape.nodes[unit.node].map.parallelism or PARALLELISM
    if is_decided(graph, unit) or unit.begun >= len(unit.items):
        return None
    return unit.begun if under_way(graph, unit) < limit else None


def result(graph: InGraph, unit: Unit) -> list[Json] | Failure | None:
    """Return what came of a map; None while items are under way, wanted or not."""
    if not is_decided(graph, unit) or under_way(graph, unit):
        return None
    if succeeded(graph, unit):
        return [unit.outputs.get(index) for index in range(len(unit.items))]
    index, failure = next(iter(unit.failures.items()))
    blamed = Failure()
    blamed.CopyFrom(failure)
    blamed.message = f"item {index}: {failure.message}"
    blamed.metadata["item"] = str(index)
    return blamed
