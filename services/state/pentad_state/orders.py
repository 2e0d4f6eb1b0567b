"""What scripts of sessions need to let the next run in: keys, and jobs prepared for any run."""

from pentad.state.v1.event_pb2 import Event, SessionEntered
from pentad.state.v1.job_pb2 import CancelRun, Job, Queue, SignalRun
from pentad_state.bounds import check_name, invalid
from pentad_state.partitions import RUN_ID_CHARS, is_run_id, key, partition_of, place_in
from pentad_state.store import Value

SLOT_MS = 800 * 24 * 3600 * 1000
"""After this long without anybody who comes, nobody is taken to be at a session: longer than runs
last, but for one that rests for years."""

_ABOUT, _BY = "\1" * RUN_ID_CHARS, "\2" * RUN_ID_CHARS
"""Stand for a run that only the script knows; in a job they are as long as what replaces them."""


def check_names(tenant: str, session_id: str, run_id: str) -> None:
    """Refuse names that cannot be those of a session and of a run."""
    check_name("tenant", tenant)
    check_name("session_id", session_id)
    if not is_run_id(run_id):
        raise invalid("run_id", "must be that of a run")


def slot_keys(tenant: str, session_id: str) -> list[str]:
    """Return the keys of who is active in a session, and of those in line."""
    p = partition_of(tenant, session_id)
    return [key(p, "slot", tenant, session_id), key(p, "line", tenant, session_id)]


def orders(tenant: str, partition: int) -> list[Value]:
    """Return the jobs that scripts put for runs that only they know: one to tell, one to cancel."""
    place = place_in(partition)
    tell = Job(
        job_id=f"session/tell/{_ABOUT}",
        tenant=tenant,
        place=place,
        queue=Queue.QUEUE_RUNS,
        signal_run=SignalRun(
            run_id=_ABOUT,
            signal_id="session_entered",
            event=Event(session_entered=SessionEntered()),
        ),
    )
    cancel = Job(
        job_id=f"session/cancel/{_ABOUT}",
        tenant=tenant,
        place=place,
        queue=Queue.QUEUE_RUNS,
        cancel_run=CancelRun(run_id=_ABOUT, reason=f"interrupted by run {_BY}"),
    )
    return [tell.SerializeToString(), cancel.SerializeToString()]
