"""Runs whose turn in their session has not come. Pure."""

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.event_pb2 import Event, RunWaiting
from pentad.state.v1.run_pb2 import Waiting
from pentad_orchestrator.run import Paused, Queued, Run, seconds

_LOOK_S, _LOOK_S_MAX = 60.0, 3600.0
"""How soon a run looks again though nobody told it to: later and later, so that a journal grows
little however long it waits."""


def has_begun(run: Run) -> bool:
    """Whether the run was in its session before, or the one that it is a fork of was."""
    phase = run.phase.before if isinstance(run.phase, Paused) else run.phase
    return not isinstance(phase, Queued)


def is_outside(run: Run) -> bool:
    """Whether the run has a session that it has not entered yet."""
    return bool(run.created.spec.session_id) and run.attempt == 0


def wait(run: Run, active_run_id: str, now: Timestamp) -> Event:
    """Return the event with which a run is let go of until another one leaves its session.

    `now` is by the store's clock, as all times are.
    """
    waited_s = seconds(now) - max(run.created_at_s, seconds(run.created.spec.start_time))
    look_s = min(max(_LOOK_S, waited_s), _LOOK_S_MAX)
    wake_time = Timestamp()
    wake_time.FromNanoseconds(int((seconds(now) + look_s) * 1e9))
    waiting = Waiting(active_run_id=active_run_id, wake_time=wake_time)
    return Event(run_waiting=RunWaiting(waiting=waiting))


def told(run: Run, _: Event) -> Run:
    """Return the run after its turn has come: it enters when it begins."""
    return run
