"""A run as callers see it, of what the store keeps of it."""

from pentad.state.v1.event_pb2 import RunCreated
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus
from pentad_state.journal import to_time

ENDED = frozenset({RunStatus.STATE_COMPLETED, RunStatus.STATE_FAILED, RunStatus.STATE_CANCELLED})

PRIORITY_MAX = 10
_SAMPLED = frozenset("13579bdf")
"""Last digits of a `traceparent` whose trace is kept."""


def to_head(run_id: str, created: RunCreated) -> Run:
    """Return what never changes about a run."""
    return Run(
        run_id=run_id,
        tenant=created.tenant,
        spec=created.spec,
        trace_id=_trace_id(created.traceparent),
        parent_run_id=created.parent.run_id,
    )


def level_of(spec: RunSpec) -> str:
    """Return the level in the schedule that a priority gives: two digits, a lower one first."""
    return f"{PRIORITY_MAX + 1 - spec.priority:02d}"


def to_run(fields: dict[bytes, bytes]) -> Run:
    """Return the run whose hash has these fields."""
    run = Run.FromString(fields[b"head"])
    run.status.ParseFromString(fields.get(b"status", b""))
    run.status.state = RunStatus.State.ValueType(int(fields[b"state"]))
    run.create_time.CopyFrom(to_time(int(fields[b"created"])))
    if b"started" in fields:
        run.start_time.CopyFrom(to_time(int(fields[b"started"])))
    if b"ended" in fields:
        run.end_time.CopyFrom(to_time(int(fields[b"ended"])))
    run.last_seq = int(fields[b"seq"])
    run.cancel_requested = b"cancel" in fields and run.status.state not in ENDED
    run.pause_requested = b"pause" in fields and run.status.state not in ENDED
    if run.status.state != RunStatus.STATE_PAUSED:
        run.status.ClearField("pause")  # it was journalled, and is over
    if run.status.state != RunStatus.STATE_WAITING:
        run.status.ClearField("waiting")
    return run


def _trace_id(traceparent: str) -> str:
    """Return the trace that holds a run, unless it is not kept."""
    _, _, rest = traceparent.partition("-")
    trace_id, _, rest = rest.partition("-")
    sampled = rest[-1:] in _SAMPLED
    return trace_id if sampled else ""
