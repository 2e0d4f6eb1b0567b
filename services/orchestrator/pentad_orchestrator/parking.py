"""Runs that nobody holds: what they wait for, and until when at most. Pure."""

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.event_pb2 import Event, RunWaiting
from pentad.state.v1.run_pb2 import Waiting
from pentad_orchestrator import timers
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.run import Calling, Run, seconds
from pentad_orchestrator.waits import Parked

_NAMED_MAX = 100


def park(run: Run) -> Event | None:
    """Return the event with which a run is let go of; None unless it waits for something.

    Whoever asks knows that nothing is in execution but waits.
    """
    waiting = Waiting(
        approval_ids=[a.approval.approval_id for a in run.approvals.values() if a.open],
        child_run_ids=[child.run_id for child in run.children.values() if child.open],
    )
    times = [each.at_s for each in timers.awaited(run)]
    if not (waiting.approval_ids or waiting.child_run_ids or times):
        return None
    if not stands_still(run):
        times.append(run.deadline_s)
    if times:
        waiting.wake_time.CopyFrom(_to_time(min(times)))
    del waiting.approval_ids[_NAMED_MAX:]
    del waiting.child_run_ids[_NAMED_MAX:]
    return Event(run_waiting=RunWaiting(waiting=waiting))


def may_be_parked(run: Run) -> bool:
    """Whether the run stands where all that is left may be waiting."""
    if isinstance(run.phase, InGraph):
        # What takes back has little time, and nobody else to wait for.
        return run.phase.stop is None
    return isinstance(run.phase, Calling)


def stands_still(run: Run) -> bool:
    """Whether a run that is let go of waits for nothing but people and other runs."""
    return all(timer.fired for timer in run.timers.values())


def parked(run: Run, event: Event) -> Run:
    """Return the run after it was let go of."""
    run = taken(run, event)
    told = Parked(event.run_waiting.waiting, seconds(event.time), stands_still(run))
    return run.having(parked=told, owners_lost=0)


def taken(run: Run, event: Event) -> Run:
    """Return the run after somebody took it up again."""
    parked = run.parked
    if parked is None:
        return run
    still_s = max(0.0, seconds(event.time) - parked.since_s) if parked.still else 0.0
    return run.having(parked=None, paused_s=run.paused_s + still_s)


def _to_time(time_s: float) -> Timestamp:
    time = Timestamp()
    time.FromNanoseconds(int(time_s * 1e9))
    return time
