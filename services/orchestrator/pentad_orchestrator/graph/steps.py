"""What a graph does next. Pure."""

from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import (
    Event,
    GraphCompleted,
    NodeCompleted,
    NodeFailed,
    NodeSkipped,
    NodeStarted,
    UnwindingStarted,
)
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Failure
from pentad_chassis.conditions import ConditionInvalid, ConditionUndecided
from pentad_chassis.workflows.expressions import expression, variable
from pentad_orchestrator import pauses, timers
from pentad_orchestrator.commands import AwaitDeadline, Command
from pentad_orchestrator.graph import maps, retries, undoing, values, ways, works
from pentad_orchestrator.graph.state import InGraph, Standing, Unit
from pentad_orchestrator.graph.values import NoValue

if TYPE_CHECKING:
    from pentad_orchestrator.run import Run

AT_ONCE = 64
"""Pieces of work under way at the same time; the others wait for their turn."""

STARTED_MAX = 5000
"""Pieces of work in all: a loop over a large map is bounded too."""

NODE_LIMIT_REACHED = "NODE_LIMIT_REACHED"

STARTS = frozenset({"node_started", "compensation_started"})
"""Events that begin something."""


def commands(run: "Run", graph: InGraph) -> tuple[Command, ...]:
    """Return what is to be in execution now."""
    ends_s = run.deadline_s if graph.stop is None else graph.stop.ends_s
    return (*works.commands(run, graph), AwaitDeadline(ends_s))


def following(run: "Run", graph: InGraph) -> Event | None:
    """Return what follows from what is known; None while all is under way or waits."""
    for call in graph.calls.values():
        if call.settled:
            return pauses.settled(run, call)
    for unit in graph.units.values():
        if (found := works.outcome(run, graph, unit)) is not None:
            return _over(graph, unit, found)
    if graph.stop is not None:
        return undoing.following(run, graph, graph.stop)
    if graph.failure is not None:
        return _unwind(graph.failure)
    if graph.unknown:
        # A person is to look: nothing more is begun, and calls in hand end first.
        in_hand = any(call.in_hand for call in graph.calls.values())
        return None if in_hand else pauses.parked(graph)
    return _going_on(run, graph)


def _over(graph: InGraph, unit: Unit, found: Payload | Failure) -> Event:
    """Return the end of a unit's attempt."""
    if unit.undo:
        return undoing.over(graph, unit, found)
    if isinstance(found, Payload):
        return _completed(graph, unit, found)
    told = NodeFailed(path=unit.path, attempt=unit.attempt, failure=found)
    node = graph.shape.nodes[unit.node]
    # Of a map, items are tried again.
    if graph.stop is None and not maps.is_closing(graph, unit) and not unit.items:
        pause = retries.pause_after(node.retry, unit.attempt, found)
        if pause is not None:
            told.retry_after.CopyFrom(pause)
    return Event(node_failed=told)


def _completed(graph: InGraph, unit: Unit, output: Payload) -> Event:
    told = NodeCompleted(path=unit.path, output=output)
    if unit.item is not None or graph.stop is not None:
        return Event(node_completed=told)
    try:
        bound = values.bound(graph.shape.nodes[unit.node], graph.shape, graph.values, output)
    except NoValue as none:
        told.failure.CopyFrom(none.failure)
        return Event(node_completed=told)
    told.output.CopyFrom(bound)
    name = variable(unit.node)
    seen = values.of_node(Standing.COMPLETED, values.text_of(bound))
    taken = ways.taken(graph, unit.node, {**graph.values, name: seen})
    told.edges.extend(taken.edges)
    if taken.failure is not None:
        told.failure.CopyFrom(taken.failure)
    return Event(node_completed=told)


def _going_on(run: "Run", graph: InGraph) -> Event | None:
    for unit in graph.units.values():
        if (event := _opening(run, graph, unit)) is not None:
            return event
    if graph.started >= STARTED_MAX:
        message = f"a workflow begins no more than {STARTED_MAX} pieces of work"
        failure = Failure(reason=NODE_LIMIT_REACHED, message=message)
        return None if graph.units else _unwind(failure)
    if len(graph.units) < AT_ONCE:
        for unit in graph.units.values():
            if unit.items and (item := maps.next_item(graph, unit)) is not None:
                return _begin_item(run, graph, unit, item)
    for node, begins in ways.ready(graph):
        if not begins:
            return Event(node_skipped=NodeSkipped(node=node))
        if len(graph.units) < AT_ONCE:
            return _begin(run, graph, node)
    return None if graph.units else _finish(run, graph)


def _opening(run: "Run", graph: InGraph, unit: Unit) -> Event | None:
    """Return what a unit needs to go on, another attempt among it."""
    if unit.retry_s is None:
        return works.opening(run, graph, unit)
    timer = run.timers.get(unit.pause)
    if timer is None:
        return timers.start(unit.pause, run.now_s + unit.retry_s)
    if not timer.fired:
        return None
    return Event(node_started=NodeStarted(path=unit.path, attempt=unit.attempt + 1))


def _begin(run: "Run", graph: InGraph, node: str) -> Event:
    number = graph.rounds.get(node, 0) + 1
    path = node if number == 1 else f"{node}#{number}"
    work = values.work_of(graph.shape.nodes[node], item=False, undo=False)
    names = values.names_for(graph.shape, item=False, undo=False)
    try:
        given = values.given(work, names, graph.values, run.now_s)
    except NoValue as none:
        return Event(node_failed=NodeFailed(path=path, failure=none.failure))
    return Event(node_started=NodeStarted(path=path, attempt=1, input=given))


def _begin_item(run: "Run", graph: InGraph, unit: Unit, item: int) -> Event:
    path = f"{unit.path}[{item}]"
    work = values.work_of(graph.shape.nodes[unit.node], item=True, undo=False)
    names = values.names_for(graph.shape, item=True, undo=False)
    seen = {**graph.values, "item": unit.items[item], "index": item}
    try:
        given = values.given(work, names, seen, run.now_s)
    except NoValue as none:
        return Event(node_failed=NodeFailed(path=path, failure=none.failure))
    return Event(node_started=NodeStarted(path=path, attempt=1, input=given))


def _finish(run: "Run", graph: InGraph) -> Event:
    """Return the end of a graph in which nothing is left to do."""
    text = run.created.graph.spec.output
    if not text:
        return Event(graph_completed=GraphCompleted(output=graph.output))
    try:
        value = expression(text, graph.shape.names).value(graph.values)
        output = values.bounded(values.to_payload(value)).text
    except (ConditionInvalid, ConditionUndecided) as error:
        return _unwind(values.failed(f"output: {error}"))
    except NoValue as none:
        return _unwind(none.failure)
    return Event(graph_completed=GraphCompleted(output=output))


def _unwind(failure: Failure) -> Event:
    return Event(unwinding_started=UnwindingStarted(failure=failure))
