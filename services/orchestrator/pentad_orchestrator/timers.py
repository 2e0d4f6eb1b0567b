"""The times that runs wait for. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.event_pb2 import Event, TimerFired, TimerStarted
from pentad_orchestrator import approvals
from pentad_orchestrator.commands import AwaitTimer
from pentad_orchestrator.run import Run, seconds
from pentad_orchestrator.waits import Timer


def start(key: str, at_s: float) -> Event:
    """Return the event with which a run begins to wait for a time."""
    time = Timestamp()
    time.FromNanoseconds(int(at_s * 1e9))
    return Event(timer_started=TimerStarted(key=key, fire_time=time))


def started(run: Run, event: Event) -> Run | None:
    """Return the run after it began to wait."""
    told = event.timer_started
    if told.key in run.timers:
        return None
    return run.having(timers={**run.timers, told.key: Timer(seconds(told.fire_time))})


def fired(run: Run, event: Event) -> Run | None:
    """Return the run after the time has come."""
    key = event.timer_fired.key
    timer = run.timers.get(key)
    if timer is None or timer.fired:
        return None
    return run.having(timers={**run.timers, key: replace(timer, fired=True)})


def awaited(run: Run) -> Iterator[AwaitTimer]:
    """Yield all times that the run waits for, those of its approvals among them."""
    for key, timer in run.timers.items():
        if not timer.fired:
            yield AwaitTimer(key, timer.fire_s)
    for key, asked in run.approvals.items():
        if asked.open and (at_s := approvals.due(asked)) != float("inf"):
            yield AwaitTimer(key, at_s)


def elapsed(run: Run, waited: AwaitTimer) -> Event:
    """Return what it means that the time has come."""
    timer = run.timers.get(waited.key)
    if timer is not None and not timer.fired:
        return Event(timer_fired=TimerFired(key=waited.key))
    return approvals.elapsed(run.approvals[waited.key])
