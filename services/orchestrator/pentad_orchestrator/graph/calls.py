"""The tool calls of a graph, and what its work waits with: what events make of them. Pure."""

from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.message_pb2 import ToolCall
from pentad.state.v1.workflow_pb2 import ToolWork
from pentad_orchestrator import pauses, spending
from pentad_orchestrator.graph import values
from pentad_orchestrator.graph.state import InGraph, Unit
from pentad_orchestrator.run import Call

if TYPE_CHECKING:
    from pentad_orchestrator.run import Run


def calls_tool(graph: InGraph, unit: Unit) -> ToolWork | None:
    """Return the call that a unit makes itself; items of a map make theirs in runs of their own."""
    if unit.item is not None and not unit.undo:
        return None
    work = values.work_of(graph.shape.nodes[unit.node], item=False, undo=unit.undo)
    return work if isinstance(work, ToolWork) else None


def made(graph: InGraph, unit: Unit) -> InGraph:
    """Return the graph with the call that a unit's attempt makes, if it makes one."""
    work = calls_tool(graph, unit)
    if work is None:
        return graph
    call_id = unit.key[0]
    call = Call(ToolCall(call_id=call_id, tool=work.name, arguments=unit.given))
    return graph.having(calls={**graph.calls, call_id: call})


def after(run: "Run", graph: InGraph, event: Event) -> "Run | None":
    """Return the run after a call was begun or ended, or None for one that there is not."""
    kind = event.WhichOneof("kind")
    told = getattr(event, kind or "")
    call = graph.calls.get(told.call_id)
    if call is None or call.outcome is not None:
        return None
    if kind == "effect_unknown":
        return pauses.effect_unknown(run, graph, event.effect_unknown)
    if kind == "tool_call_started":
        if call.started:
            return None
        begun = graph.replaced(call, started=True)
        return run.having(phase=begun, calls_started=run.calls_started + 1)
    ended = graph.replaced(call, outcome=event.tool_call_completed, unknown=False, settlement=None)
    spent = spending.added(run.spending, spending.NOBODY, spending.NOBODY, calls=1)
    return run.having(phase=ended, tool_calls=run.tool_calls + 1, spending=spent, owners_lost=0)


def forgetting(run: "Run", unit: Unit) -> "Run":
    """Return the run without what an attempt waited with; a run that has not ended is kept."""
    key, index = unit.key
    waited = {key, f"{unit.name}~{unit.attempt}"}
    child = run.children.get((key, index))
    if child is not None and child.status is not None:
        left = {name: each for name, each in run.children.items() if name != (key, index)}
        run = run.having(children=left)
    if unit.item is not None and not unit.undo:
        waited.discard(key)  # it is that of its map
    return run.having(
        approvals={name: each for name, each in run.approvals.items() if name not in waited},
        timers={name: each for name, each in run.timers.items() if name not in waited},
    )
