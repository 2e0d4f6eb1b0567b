"""Runs that stop for a person: why they stop, what they are told, how they go on. Pure."""

from dataclasses import replace

from pentad.state.v1.event_pb2 import EffectUnknown, Event, RunPaused, RunResumed, ToolCallCompleted
from pentad.state.v1.message_pb2 import ToolError
from pentad.state.v1.run_pb2 import Pause, Settlement, UnknownEffect
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.run import (
    Active,
    Call,
    Calling,
    Ended,
    Finishing,
    InTurn,
    Overdue,
    Paused,
    Queued,
    Ready,
    Run,
)

REQUESTED = "PAUSE_REQUESTED"
EFFECT_OUTCOME_UNKNOWN = "EFFECT_OUTCOME_UNKNOWN"

_ARGUMENTS_BYTES_MAX = 16 * 1024
"""Larger ones stand in the turn that asked for the call; a pause is kept twice, in event and
status, and holds up to `plan.CALLS_AT_ONCE` calls."""


def requested(run: Run, reason: str) -> Event | None:
    """Return the pause that a person asked for; None once the run has its answer or its end."""
    if isinstance(run.phase, Finishing | Overdue | Paused | Ended):
        return None
    if isinstance(run.phase, Calling | InGraph) and run.phase.unknown:
        return parked(run.phase)
    return _paused(Pause(reason=REQUESTED, message=reason or "somebody asked for it"))


def parked(calling: Calling | InGraph) -> Event:
    """Return the pause of a run with calls of which nobody knows whether they took place."""
    names = ", ".join(f"{call.wish.tool} ({call.wish.call_id})" for call in calling.unknown)
    pause = Pause(
        reason=EFFECT_OUTCOME_UNKNOWN,
        message=f"nobody knows whether these calls took place: {names}",
        unknown_effects=map(_to_unknown_effect, calling.unknown),
    )
    return _paused(pause)


def settled(run: Run, call: Call) -> Event:
    """Return the outcome that a person found out."""
    assert call.settlement is not None, "somebody settled it"
    completed = ToolCallCompleted(
        step=run.planned.name, call_id=call.wish.call_id, tool=call.wish.tool
    )
    if call.settlement.WhichOneof("finding") == "result":
        completed.result.CopyFrom(call.settlement.result)
    else:
        error = ToolError(reason="TOOL_FAILED", message=call.settlement.failure)
        completed.error.CopyFrom(error)
    return Event(tool_call_completed=completed)


def effect_unknown(run: Run, calling: Calling | InGraph, told: EffectUnknown) -> Run | None:
    """Return the run after nobody could say whether a call took place."""
    call = calling.call(told.call_id)
    if not call.in_hand:
        return None
    doubtful = calling.replaced(call, unknown=True, attempt=told.attempt, settlement=None)
    return run.having(phase=doubtful)


def resumed(run: Run, told: RunResumed, at_s: float) -> Run:
    """Return the run where it stopped; calls that nobody settled stay unknown."""
    phase = run.phase
    if isinstance(phase, Paused):
        run = run.having(paused_s=run.paused_s + max(0.0, at_s - phase.since_s))
        phase = phase.before
    if isinstance(phase, Calling | InGraph):
        for settlement in told.settlements:
            for call in phase.unknown:
                if _settles(settlement, call):
                    phase = phase.replaced(call, unknown=False, settlement=settlement)
    return run.having(phase=phase)


def orphaned(phase: Active) -> Active:
    """Return a phase whose owner is gone, as the next one finds it."""
    match phase:
        case Queued():
            return Ready()
        case InTurn():
            return replace(phase, lost=True)
    return phase


def _settles(settlement: Settlement, call: Call) -> bool:
    said = settlement.not_done or settlement.WhichOneof("finding") in {"result", "failure"}
    meant = settlement.call_id == call.wish.call_id and settlement.attempt in {0, call.attempt}
    return said and meant


def _to_unknown_effect(call: Call) -> UnknownEffect:
    effect = UnknownEffect(call_id=call.wish.call_id, tool=call.wish.tool, attempt=call.attempt)
    if call.wish.arguments.ByteSize() <= _ARGUMENTS_BYTES_MAX:
        effect.arguments.CopyFrom(call.wish.arguments)
    return effect


def _paused(pause: Pause) -> Event:
    return Event(run_paused=RunPaused(pause=pause))
