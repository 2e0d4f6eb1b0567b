"""A graph that cannot complete: what events make of it while what it did is taken back. Pure."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import (
    CompensationFailed,
    CompensationStarted,
    Event,
    UnwindingStarted,
)
from pentad.state.v1.run_pb2 import Unwinding
from pentad_orchestrator import children
from pentad_orchestrator.bounds import to_seconds
from pentad_orchestrator.graph import calls, maps
from pentad_orchestrator.graph.state import InGraph, Stop, Unit
from pentad_orchestrator.run import Paused, seconds

if TYPE_CHECKING:
    from pentad_orchestrator.run import Run

UNWINDING_S = 300.0
"""How long taking back may last, at least; after a failure it has the rest of the run's time."""


def after(run: "Run", graph: InGraph, event: Event) -> "Run | None":
    """Return the run after an event of its unwinding, or None for one that cannot have happened."""
    match event.WhichOneof("kind"):
        case "unwinding_started":
            return _begun(run, graph, event)
        case "deadline_reached":
            return _overdue(run, graph, event)
        case "compensation_started":
            return _started(run, graph, event.compensation_started)
        case "compensation_completed":
            return _ended(run, graph, event.compensation_completed.path, done=True)
        case "compensation_failed":
            return _failed(run, graph, event.compensation_failed)
    return None


def cancelled(run: "Run", graph: InGraph, reason: str) -> Event | None:
    """Return what a caller's wish to end the run makes of it; None where that is done already.

    A run that rests while it takes back does not wait for a person any more.
    """
    stop = graph.stop
    if stop is not None and (stop.cancel_reason is not None or run.phase is graph):
        return None
    return Event(unwinding_started=UnwindingStarted(cancel_reason=reason))


def unwanted(run: "Run") -> "Run":
    """Return the run wanting no more of the runs that it started than it goes on with."""
    graph = run.phase
    if not isinstance(graph, InGraph) or not run.children:
        return run
    for unit in graph.units.values():
        goes_on = unit.undo or not (graph.stop is not None or maps.is_closing(graph, unit))
        if not goes_on:
            run = children.unwanted(run, unit.key[0])
    return run


def _begun(run: "Run", graph: InGraph, event: Event) -> "Run":
    """Nothing more begins: what only waits is dropped, what is in hand ends first."""
    at_s = max(run.now_s, seconds(event.time))
    if isinstance(run.phase, Paused):
        run = run.having(paused_s=run.paused_s + max(0.0, at_s - run.phase.since_s))
    told = event.unwinding_started
    if told.WhichOneof("cause") == "failure":
        stop = Stop(max(run.deadline_s, at_s + UNWINDING_S), failure=told.failure)
    else:
        stop = Stop(at_s + UNWINDING_S, cancel_reason=told.cancel_reason)
        run, graph = _doubts_left(run, graph)
    return _stopping(run, graph, stop)


def _overdue(run: "Run", graph: InGraph, event: Event) -> "Run":
    if graph.stop is not None:
        return run.having(phase=graph.having(stop=replace(graph.stop, over=True)))
    at_s = max(run.now_s, seconds(event.time))
    return _stopping(run, graph, Stop(at_s + UNWINDING_S))


def _stopping(run: "Run", graph: InGraph, stop: Stop) -> "Run":
    units = {
        name: unit
        for name, unit in graph.units.items()
        if unit.undo or (unit.retry_s is None and _is_in_hand(graph, unit))
    }
    known = {unit.key[0] for unit in units.values()}
    kept = {call: each for call, each in graph.calls.items() if call in known}
    timers = {key: timer for key, timer in run.timers.items() if key.startswith("undo:")}
    graph = graph.having(units=units, calls=kept, stop=stop)
    return unwanted(run.having(phase=graph, timers=timers))


def _is_in_hand(graph: InGraph, unit: Unit) -> bool:
    """Whether something was begun elsewhere whose end is to be known."""
    if calls.calls_tool(graph, unit) is not None:
        return graph.calls[unit.key[0]].started
    node = graph.shape.nodes[unit.node]
    return unit.item is not None or node.WhichOneof("work") in {"agent", "workflow"}


def _doubts_left(run: "Run", graph: InGraph) -> "tuple[Run, InGraph]":
    """Leave calls of which nobody knows as they are: nobody waits for a person any more."""
    for unit in graph.units.values():
        call = graph.calls.get(unit.key[0])
        if call is not None and call.unknown:
            graph = graph.without(unit)
            run = _noted(run, unit.path, done=False)
    return run, graph


def _started(run: "Run", graph: InGraph, told: CompensationStarted) -> "Run | None":
    known = graph.units.get(f"undo:{told.path}")
    if known is not None:
        unit = replace(known, attempt=told.attempt, retry_s=None)
    elif graph.done and graph.done[-1].path == told.path:
        last = graph.done[-1]
        unit = Unit(last.path, last.node, told.input, last.item, undo=True)
        graph = graph.having(done=graph.done[:-1])
    else:
        return None
    return run.having(phase=calls.made(graph.with_unit(unit), unit))


def _failed(run: "Run", graph: InGraph, told: CompensationFailed) -> "Run | None":
    unit = graph.units.get(f"undo:{told.path}")
    if unit is None or not told.HasField("retry_after"):
        return _ended(run, graph, told.path, done=False)
    waiting = replace(unit, retry_s=to_seconds(told.retry_after))
    graph = graph.without(unit).with_unit(waiting)
    return calls.forgetting(run, unit).having(phase=graph)


def _ended(run: "Run", graph: InGraph, path: str, *, done: bool) -> "Run | None":
    unit = graph.units.get(f"undo:{path}")
    if unit is not None:
        run, graph = calls.forgetting(run, unit), graph.without(unit)
    elif graph.done and graph.done[-1].path == path:
        graph = graph.having(done=graph.done[:-1])
    else:
        return None
    return _noted(run, path, done=done).having(phase=graph, owners_lost=0)


def _noted(run: "Run", path: str, *, done: bool) -> "Run":
    unwound = Unwinding()
    if run.unwound is not None:
        unwound.CopyFrom(run.unwound)
    (unwound.compensated if done else unwound.not_compensated).append(path)
    return run.having(unwound=unwound)
