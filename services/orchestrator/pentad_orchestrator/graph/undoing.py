"""Taking back what a graph did that cannot complete: what comes next. Pure."""

from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import (
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
    Event,
    RunCancelled,
)
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Failure
from pentad_orchestrator import failures, pauses, timers
from pentad_orchestrator.endings import failed
from pentad_orchestrator.graph import retries, values, works
from pentad_orchestrator.graph.state import Done, InGraph, Stop, Unit
from pentad_orchestrator.graph.values import NoValue

if TYPE_CHECKING:
    from pentad_orchestrator.run import Run

COMPENSATION_OVERDUE = "COMPENSATION_OVERDUE"
EFFECT_OUTCOME_UNKNOWN = "EFFECT_OUTCOME_UNKNOWN"


def following(run: "Run", graph: InGraph, stop: Stop) -> Event | None:
    """Return what follows while a graph is unwound: what is in hand ends, then one at a time."""
    if stop.over:
        return _given_up(run, graph, stop)
    if graph.unknown:
        return _in_doubt(graph, stop)
    unit = next((unit for unit in graph.units.values() if unit.undo), None)
    if unit is not None:
        return _opening(run, graph, unit)
    if graph.units:
        return None
    if graph.done:
        return _begin(run, graph, graph.done[-1])
    return _end(run, stop)


def over(graph: InGraph, unit: Unit, found: Payload | Failure) -> Event:
    """Return the end of an attempt to take something back."""
    if isinstance(found, Payload):
        return Event(compensation_completed=CompensationCompleted(path=unit.path))
    told = CompensationFailed(path=unit.path, attempt=unit.attempt, failure=found)
    retry = graph.shape.nodes[unit.node].compensation.retry
    is_over = graph.stop is not None and graph.stop.over
    pause = None if is_over else retries.pause_after(retry, unit.attempt, found)
    if pause is not None:
        told.retry_after.CopyFrom(pause)
    return Event(compensation_failed=told)


def _given_up(run: "Run", graph: InGraph, stop: Stop) -> Event:
    """Return what is said of each thing that is not taken back any more, and then the end."""
    failure = Failure(reason=COMPENSATION_OVERDUE, message="there was no more time for it")
    unit = next((unit for unit in graph.units.values() if unit.undo), None)
    if unit is not None:
        told = CompensationFailed(path=unit.path, attempt=unit.attempt, failure=failure)
        return Event(compensation_failed=told)
    if graph.done:
        return Event(
            compensation_failed=CompensationFailed(path=graph.done[-1].path, failure=failure)
        )
    return _end(run, stop)


def _in_doubt(graph: InGraph, stop: Stop) -> Event | None:
    """Return what is done about calls of which nobody knows whether they took place."""
    unit = next((u for u in graph.units.values() if u.undo and u.key[0] in graph.calls), None)
    if stop.cancel_reason is not None and unit is not None:
        # Whoever cancels does not wait for a person.
        message = "nobody knows whether the call took place"
        failure = Failure(reason=EFFECT_OUTCOME_UNKNOWN, message=message)
        told = CompensationFailed(path=unit.path, attempt=unit.attempt, failure=failure)
        return Event(compensation_failed=told)
    return None if any(call.in_hand for call in graph.calls.values()) else pauses.parked(graph)


def _opening(run: "Run", graph: InGraph, unit: Unit) -> Event | None:
    if unit.retry_s is None:
        return works.opening(run, graph, unit)
    timer = run.timers.get(unit.pause)
    if timer is None:
        return timers.start(unit.pause, run.now_s + unit.retry_s)
    if not timer.fired:
        return None
    return Event(compensation_started=CompensationStarted(path=unit.path, attempt=unit.attempt + 1))


def _begin(run: "Run", graph: InGraph, done: Done) -> Event:
    item = done.item is not None
    work = values.work_of(graph.shape.nodes[done.node], item=item, undo=True)
    names = values.names_for(graph.shape, item=item, undo=True)
    try:
        given = values.given(work, names, done.values, run.now_s)
    except NoValue as none:
        return Event(compensation_failed=CompensationFailed(path=done.path, failure=none.failure))
    return Event(compensation_started=CompensationStarted(path=done.path, attempt=1, input=given))


def _end(run: "Run", stop: Stop) -> Event:
    if stop.cancel_reason is not None:
        return Event(run_cancelled=RunCancelled(reason=stop.cancel_reason, usage=run.usage))
    return failed(run, stop.failure or failures.wall_time_reached(run))
