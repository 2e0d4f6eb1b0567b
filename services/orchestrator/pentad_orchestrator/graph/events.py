"""What each event makes of a graph. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event, NodeCompleted, NodeFailed, NodeStarted
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Failure
from pentad_chassis.workflows.expressions import Json, variable
from pentad_chassis.workflows.shape import shape_of
from pentad_chassis.workflows.templates import as_json
from pentad_orchestrator import children
from pentad_orchestrator.bounds import to_seconds
from pentad_orchestrator.graph import calls, maps, unwinding, values, ways
from pentad_orchestrator.graph.state import Done, InGraph, Standing, Unit
from pentad_orchestrator.run import Finishing

if TYPE_CHECKING:
    from pentad_orchestrator.run import Run

KINDS = frozenset(
    {
        "node_started", "node_completed", "node_failed", "node_skipped",
        "compensation_started", "compensation_completed", "compensation_failed",
        "unwinding_started", "graph_completed", "deadline_reached",
        "tool_call_started", "tool_call_completed", "effect_unknown", "child_started",
    }
)  # fmt: skip
"""What a graph has a say in; the others are the same for every run."""


def begun(run: "Run") -> InGraph:
    """Return the graph of a run as it is before anything is done."""
    shape = shape_of(run.created.graph.spec)
    return InGraph(shape, values.beginning(shape, run.created.spec.input))


def after(run: "Run", graph: InGraph, event: Event) -> "Run | None":
    """Return the run after an event of its graph, or None for one that cannot have happened."""
    changed: Run | None = None
    match event.WhichOneof("kind"):
        case "node_started":
            changed = _started(run, graph, event.node_started)
        case "node_completed":
            changed = _completed(run, graph, event.node_completed)
        case "node_failed":
            changed = _failed(run, graph, event.node_failed)
        case "node_skipped":
            changed = _skipped(run, graph, event.node_skipped.node)
        case "graph_completed":
            changed = run.having(phase=Finishing(event.graph_completed.output))
        case "child_started" if (started := children.started(run, event)) is not None:
            # What it was started for may be over by now.
            changed = unwinding.unwanted(started)
        case "tool_call_started" | "tool_call_completed" | "effect_unknown":
            changed = calls.after(run, graph, event)
        case _:
            changed = unwinding.after(run, graph, event)
    return changed


def _started(run: "Run", graph: InGraph, told: NodeStarted) -> "Run | None":
    if (known := graph.units.get(told.path)) is not None:
        return run.having(phase=_tried_again(graph, known, told.attempt))
    node, item = named(told.path)
    if node not in graph.shape.nodes:
        return None
    unit = Unit(told.path, node, told.input, item)
    if item is None:
        graph = _begun(graph, node)
        if graph.shape.nodes[node].HasField("map"):
            unit = replace(unit, items=values.items_of(told.input))
    else:
        map_ = graph.units[unit.map]
        unit = replace(unit, of=map_.items[item])
        graph = graph.with_unit(replace(map_, begun=item + 1))
    graph = graph.having(started=graph.started + 1)
    return run.having(phase=calls.made(graph.with_unit(unit), unit))


def _tried_again(graph: InGraph, unit: Unit, attempt: int) -> InGraph:
    again = replace(unit, attempt=attempt, retry_s=None)
    return calls.made(graph.with_unit(again), again)


def _begun(graph: InGraph, node: str) -> InGraph:
    """Return the graph with a node running, and its loop open again if it closes one."""
    place = ways.loop_of(graph, node)
    graph = graph if place is None else ways.begun_again(graph, place)
    rounds = {**graph.rounds, node: graph.rounds.get(node, 0) + 1}
    return _standing(graph.having(rounds=rounds), node, Standing.RUNNING)


def _completed(run: "Run", graph: InGraph, told: NodeCompleted) -> "Run | None":
    unit = graph.units.get(told.path)
    if unit is None:
        return None
    text = values.text_of(told.output)
    graph = _recorded(graph.without(unit), unit, as_json(text))
    if unit.item is None:
        graph = _standing(graph.having(output=text), unit.node, Standing.COMPLETED, text)
        graph = _leaving(graph, unit.node, told.edges)
    elif (map_ := graph.map_of(unit)) is not None:
        outputs = {**map_.outputs, unit.item: as_json(text)}
        graph = _closed(graph.with_unit(replace(map_, outputs=outputs)))
    if told.HasField("failure"):
        graph = graph.having(failure=graph.failure or _blamed(told.failure, told.path))
    return unwinding.unwanted(calls.forgetting(run, unit).having(phase=graph, owners_lost=0))


def _recorded(graph: InGraph, unit: Unit, output: Json) -> InGraph:
    """Return the graph knowing what can be taken back; of a map that is its items."""
    node = graph.shape.nodes[unit.node]
    if not node.HasField("compensation") or (node.HasField("map") and unit.item is None):
        return graph
    seen: Mapping[str, Json] = {**graph.values, "output": output}
    if unit.item is not None:
        seen = {**seen, "item": unit.of, "index": unit.item}
    return graph.having(done=(*graph.done, Done(unit.path, unit.node, unit.item, seen)))


def _failed(run: "Run", graph: InGraph, told: NodeFailed) -> "Run | None":
    unit = graph.units.get(told.path)
    if unit is not None:
        run = calls.forgetting(run, unit)
        graph = graph.without(unit)
        if told.HasField("retry_after"):
            waiting = replace(unit, retry_s=to_seconds(told.retry_after))
            return run.having(phase=graph.with_unit(waiting))
    node, item = named(told.path)
    if item is None:
        graph = graph if unit is not None else _begun(graph, node)
        graph = _standing(graph, node, Standing.FAILED)
        graph = graph.having(failure=graph.failure or _blamed(told.failure, told.path))
    else:
        graph = _without_item(graph, unit or Unit(told.path, node, Payload(), item), told.failure)
    return unwinding.unwanted(run.having(phase=graph, owners_lost=0))


def _without_item(graph: InGraph, unit: Unit, failure: Failure) -> InGraph:
    map_ = graph.map_of(unit)
    if map_ is None or unit.item is None:
        return graph
    changed = replace(
        map_,
        failures={**map_.failures, unit.item: failure},
        begun=max(map_.begun, unit.item + 1),
    )
    return _closed(graph.with_unit(changed))


def _closed(graph: InGraph) -> InGraph:
    """Return the graph without items that wait to be tried again, for a map that needs none."""
    for each in graph.units.values():
        if each.retry_s is not None and maps.is_closing(graph, each):
            graph = graph.without(each)
    return graph


def _blamed(failure: Failure, path: str) -> Failure:
    blamed = Failure()
    blamed.CopyFrom(failure)
    blamed.message = f"node {path}: {failure.message}"
    blamed.metadata["node"] = path
    return blamed


def _skipped(run: "Run", graph: InGraph, node: str) -> "Run":
    return run.having(phase=_leaving(_standing(graph, node, Standing.SKIPPED), node, ()))


def _leaving(graph: InGraph, node: str, taken: Collection[int]) -> InGraph:
    """Return the graph knowing which edges from a node are taken."""
    edges, loops, repeating = dict(graph.edges), dict(graph.loops), graph.repeating
    for arc in graph.shape.out[node]:
        edges[arc.place] = arc.place in taken
        if edges[arc.place] and arc.back:
            loops[arc.place] = loops.get(arc.place, 0) + 1
            repeating = (*repeating, arc.place)
    return graph.having(edges=edges, loops=loops, repeating=repeating)


def named(path: str) -> tuple[str, int | None]:
    """Return which node a path is of, and which item."""
    run_of, _, item = path.partition("[")
    return run_of.partition("#")[0], int(item[:-1]) if item else None


def _standing(graph: InGraph, node: str, standing: Standing, text: str | None = None) -> InGraph:
    name = variable(node)
    seen = values.of_node(standing, text, graph.values[name])
    return graph.having(
        standings={**graph.standings, node: standing}, values={**graph.values, name: seen}
    )
