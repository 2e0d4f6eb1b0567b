"""What runs were told: each signal is kept behind its time until the run's journal holds it."""

from collections.abc import Sequence

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_service_pb2 import RunSignals
from pentad_state.bounds import KIB
from pentad_state.journal import to_time
from pentad_state.pages import STAMP

UNHEARD_MAX = 1000
"""Signals that may wait for one run's owner."""

SIGNAL_BYTES = 512 * KIB
"""Of one signal, and of all that one answer says of a run unless the first is larger."""


def to_signals(run_id: str, heard: int, kept: Sequence[bytes]) -> RunSignals | None:
    """Return what stands in an inbox behind what was heard; None where nothing does."""
    if not kept:
        return None
    events = [_to_event(run_id, signal) for signal in kept]
    return RunSignals(run_id=run_id, first=heard + 1, events=events)


def _to_event(run_id: str, kept: bytes) -> Event:
    """Return a signal with its time; that of a decision is when it was made."""
    event = Event.FromString(kept[STAMP:])
    time = to_time(int(kept[:STAMP]))
    event.run_id = run_id
    event.time.CopyFrom(time)
    if event.HasField("approval_decided"):
        event.approval_decided.decision.time.CopyFrom(time)
    return event
