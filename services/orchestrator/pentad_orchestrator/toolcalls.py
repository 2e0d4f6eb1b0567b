"""The tool calls of a turn: asked for, allowed, begun, awaited. Pure."""

from collections.abc import Iterator

from pentad.state.v1.event_pb2 import Event, ToolCallCompleted, ToolCallStarted
from pentad.state.v1.message_pb2 import ToolError
from pentad_orchestrator import approvals, failures, native, pauses, progress, timers
from pentad_orchestrator.approvals import Leave
from pentad_orchestrator.commands import Command, InvokeTool
from pentad_orchestrator.endings import failed
from pentad_orchestrator.run import Call, Calling, Run

INVALID_TURNS = 3
"""Turns in a row with nothing but invalid tool arguments that are fed back to the model."""

CALLS_AT_ONCE = 16
"""Tool calls of one turn that run side by side; a model may ask for hundreds."""

_CALLS_OWN = ("TOOL_", "CHILD_")
"""Reasons that begin so are outcomes of a call and go to the model; others end the run."""


def commands(run: Run, calling: Calling) -> Iterator[Command]:
    """Yield what is to be in execution for the calls, and the times that they wait for."""
    for call in calling.calls:
        if call.in_hand and not run.is_native(call.wish.tool):
            yield InvokeTool(call.wish.call_id, call.not_done_up_to)
    yield from native.starts(run, calling)
    yield from timers.awaited(run)


def after(run: Run, calling: Calling) -> Event | None:
    """Return what ends the run now that every call has its outcome; None for another turn."""
    if fatal := _fatal(calling):
        return failed(run, failures.of_call(fatal))
    if run.invalid_turns > INVALID_TURNS:
        return failed(run, failures.arguments_invalid(run))
    if stuck := progress.stuck(run, calling):
        return failed(run, stuck)
    return None


def following(run: Run, calling: Calling) -> Event | None:
    """Return what follows while some call has no outcome; None while they are at work or wait."""
    if fatal := _fatal(calling):
        return failed(run, failures.of_call(fatal))
    if not any(call.started for call in calling.calls) and _too_many(run, calling):
        limit = run.bounds.tool_calls
        return failed(run, failures.limit("TOOL_CALL_LIMIT_REACHED", "max_tool_calls", limit))
    for call in calling.calls:
        if call.settled:
            return pauses.settled(run, call)
        if call.in_hand and (event := _next_of_begun(run, call)):
            return event
    return _park_or_start(run, calling)


def _next_of_begun(run: Run, call: Call) -> Event | None:
    if not native.may_call(run.agent, call.wish.tool):
        return _unknown_tool(run, call)
    return native.next_of(run, call) if run.is_native(call.wish.tool) else None


def _park_or_start(run: Run, calling: Calling) -> Event | None:
    # Native tools are in nobody's hand: what they wait for goes on whatever the run does.
    in_hand = sum(call.in_hand and not run.is_native(call.wish.tool) for call in calling.calls)
    if calling.unknown:
        # A person is to look: nothing more is begun, and what is in hand ends first.
        return None if in_hand else pauses.parked(calling)
    for call in calling.calls:
        if call.started or call.outcome is not None:
            continue
        match approvals.leave(run, call):
            case Leave.TO_ASK:
                return approvals.request_call(run, call)
            case Leave.DENIED:
                return approvals.denied(run, call)
            case Leave.GIVEN if in_hand < CALLS_AT_ONCE:
                return _start_call(run, call)
    return None


def _start_call(run: Run, call: Call) -> Event:
    wish = call.wish
    started = ToolCallStarted(step=run.planned.name, call_id=wish.call_id, tool=wish.tool)
    return Event(tool_call_started=started)


def _too_many(run: Run, calling: Calling) -> bool:
    """Whether the turn asks for more than is left; then none of its calls is begun."""
    return run.calls_started + len(calling.calls) > run.bounds.tool_calls


def _unknown_tool(run: Run, call: Call) -> Event:
    """A model gets only the tools that its agent lists, whatever else the catalogue has."""
    message = f"agent {run.agent.name!r} has no tool {call.wish.tool!r}"
    return Event(
        tool_call_completed=ToolCallCompleted(
            step=run.planned.name,
            call_id=call.wish.call_id,
            tool=call.wish.tool,
            error=ToolError(reason="TOOL_NOT_FOUND", message=message),
        )
    )


def _fatal(calling: Calling) -> Call | None:
    """Return a call that ended in a failure of Pentad's own."""
    for call in calling.calls:
        outcome = call.outcome
        if outcome is None or outcome.WhichOneof("outcome") != "error":
            continue
        if not outcome.error.reason.startswith(_CALLS_OWN):
            return call
    return None
