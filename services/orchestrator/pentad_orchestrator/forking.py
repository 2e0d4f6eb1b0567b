"""Runs that begin with another one's events and go on from there by themselves. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from pentad.state.v1.event_pb2 import Event
from pentad_orchestrator.graph import works
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.run import Call, Calling, Ended, Paused, Run, TurnBroken, seconds


def forked(run: Run, event: Event) -> Run:
    """Return the run at its own beginning: it holds nothing that is another one's.

    What was begun and has not ended is forgotten, and begun anew under the run's own id. The time
    in which nobody worked on it does not count.
    """
    assert not isinstance(run.phase, Ended), "nothing follows the end"
    gap_s = max(0.0, seconds(event.time) - seconds(event.run_forked.last_time))
    run = _awake(run, seconds(event.run_forked.last_time))
    run = run.having(
        attempt=0,
        fence=0,
        owners_lost=0,
        paused_s=run.paused_s + gap_s,
        approvals={},
        timers={},
        children={name: child for name, child in run.children.items() if child.status is not None},
    )
    match run.phase:
        case Calling() as calling:
            run = _afresh(run, calling, calling.calls)
        case InGraph() as graph:
            run = _afresh(run, graph, tuple(graph.calls.values()))
            run = _unwinding(run, gap_s)
        case TurnBroken() as broken:
            run = run.having(phase=replace(broken, failed_at_s=broken.failed_at_s + gap_s))
    return run


def _awake(run: Run, last_s: float) -> Run:
    """Return the run neither paused nor parked; time stood still until its last event."""
    if run.parked is not None:
        still_s = max(0.0, last_s - run.parked.since_s) if run.parked.still else 0.0
        run = run.having(parked=None, paused_s=run.paused_s + still_s)
    if isinstance(run.phase, Paused):
        rested_s = max(0.0, last_s - run.phase.since_s)
        run = run.having(phase=run.phase.before, paused_s=run.paused_s + rested_s)
    return run


def _unwinding(run: Run, gap_s: float) -> Run:
    """Return the run without what a graph that cannot complete had in hand: it begins no more."""
    graph = run.phase
    assert isinstance(graph, InGraph), "others have no graph"
    if graph.stop is None and graph.failure is None:
        return run
    if graph.stop is not None:
        graph = graph.having(stop=replace(graph.stop, ends_s=graph.stop.ends_s + gap_s))
    for unit in graph.units.values():
        if not unit.undo and works.outcome(run, graph, unit) is None:
            graph = graph.without(unit)
    return run.having(phase=graph)


def _afresh(run: Run, callers: Calling | InGraph, calls: Iterable[Call]) -> Run:
    """Return the run with calls that have no outcome as if nobody had begun them."""
    begun = 0
    for call in calls:
        if call.outcome is None:
            begun += call.started
            callers = callers.replaced(
                call, started=False, unknown=False, attempt=0, settlement=None
            )
    return run.having(phase=callers, calls_started=run.calls_started - begun)
