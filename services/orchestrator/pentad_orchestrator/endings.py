"""The events with which runs end. Pure."""

from pentad.state.v1.event_pb2 import Event, RunCancelled, RunCompleted, RunFailed
from pentad.state.v1.run_pb2 import Failure
from pentad_orchestrator import exhaustion
from pentad_orchestrator.graph import unwinding
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.run import Ended, Finishing, Paused, Run


def completed(run: Run) -> Event:
    """Return the end of a run that has its answer."""
    assert isinstance(run.phase, Finishing), "only an answer completes a run"
    return Event(run_completed=RunCompleted(output=run.phase.output, usage=run.usage))


def failed(run: Run, failure: Failure) -> Event:
    """Return the end of a run that cannot have an answer."""
    output = exhaustion.output(run, failure)
    return Event(run_failed=RunFailed(failure=failure, usage=run.usage, output=output))


def cancelled(run: Run, reason: str) -> Event | None:
    """Return the end of a run that a caller cancelled; None once its answer is there."""
    if isinstance(run.phase, Finishing | Ended):
        return None
    phase = run.phase.before if isinstance(run.phase, Paused) else run.phase
    if isinstance(phase, InGraph):
        return unwinding.cancelled(run, phase, reason)
    return Event(run_cancelled=RunCancelled(reason=reason, usage=run.usage))
