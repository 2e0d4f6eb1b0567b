"""What others are to do or to hear now that a run stands where it does. Pure."""

from collections.abc import Iterator

from pentad.state.v1.event_pb2 import ChildEnded, Event
from pentad.state.v1.job_pb2 import (
    QUEUE_RUNS,
    QUEUE_WEBHOOKS,
    CancelRun,
    DeliverWebhook,
    Job,
    LeaveSession,
    SignalRun,
)
from pentad.state.v1.run_pb2 import RunStatus
from pentad_orchestrator import children, native
from pentad_orchestrator.graph import works
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.run import Calling, Paused, Run

OUTPUT_BYTES_MAX = 16 * 1024
"""A longer answer is read by whoever carries it to the parent: a job holds 64 KiB."""

_UNTOLD = (RunStatus.STATE_UNSPECIFIED, RunStatus.STATE_QUEUED, RunStatus.STATE_RUNNING)
"""States that webhooks are not told of."""

_NOT_NEEDED = "its parent goes on without it"
_PARENT_ENDED = "its parent has ended"


def jobs_after(run: Run, status: RunStatus) -> list[Job]:
    """Return what is to be done once an append has left the run in this status."""
    jobs = list(_to_webhooks(run, status))
    if run.ended:
        jobs += _to_parent(run, status)
        jobs += _to_session(run, status)
    return jobs


def cancels(before: Run, after: Run) -> list[Job]:
    """Return the ends of those runs that `before` waited for and `after` does not."""
    if not before.children and not after.children and not _starting(before):
        return []
    reason = _PARENT_ENDED if after.ended else _NOT_NEEDED
    return [
        Job(
            job_id=f"{after.run_id}/cancel/{key}/{index}",
            tenant=after.created.tenant,
            place=after.run_id,
            queue=QUEUE_RUNS,
            cancel_run=CancelRun(
                run_id=run_id,
                reason=reason,
                request_id="" if run_id else children.request_id(after.run_id, key, index),
            ),
        )
        for key, index, run_id in _let_go(before, after)
    ]


def _to_webhooks(run: Run, status: RunStatus) -> Iterator[Job]:
    """Yield one job for each webhook: whoever does it reads in the journal what there is to tell.

    One that is not done yet has told some of it already, and is only to be done once more.
    """
    if status.state in _UNTOLD:
        return
    for name in run.created.spec.callbacks:
        yield Job(
            job_id=f"{run.run_id}/webhook/{name}",
            tenant=run.created.tenant,
            place=run.run_id,
            queue=QUEUE_WEBHOOKS,
            nudge=True,
            deliver_webhook=DeliverWebhook(
                run_id=run.run_id,
                webhook=name,
                # What a fork begins with was told about the other run.
                delivered_seq=run.created.forked_from.seq,
            ),
        )


def _to_parent(run: Run, status: RunStatus) -> Iterator[Job]:
    parent = run.created.parent
    if not parent.run_id:
        return
    told = RunStatus()
    told.CopyFrom(status)
    if len(told.output.encode()) > OUTPUT_BYTES_MAX:
        told.ClearField("output")
    ended = ChildEnded(key=parent.key, index=parent.index, status=told)
    yield Job(
        job_id=f"{run.run_id}/ended",
        tenant=run.created.tenant,
        place=run.run_id,
        queue=QUEUE_RUNS,
        signal_run=SignalRun(
            run_id=parent.run_id,
            signal_id=f"child/{parent.key}/{parent.index}",
            event=Event(child_ended=ended),
        ),
    )


def _to_session(run: Run, status: RunStatus) -> Iterator[Job]:
    """Yield what lets the next run in; one that has an answer left as it was saved."""
    session_id = run.created.spec.session_id
    if session_id and status.state != RunStatus.STATE_COMPLETED:
        yield Job(
            job_id=f"{run.run_id}/leave",
            tenant=run.created.tenant,
            place=run.run_id,
            queue=QUEUE_RUNS,
            leave_session=LeaveSession(session_id=session_id, run_id=run.run_id),
        )


def _let_go(before: Run, after: Run) -> Iterator[tuple[str, int, str]]:
    """Yield key, number and id of runs to end; the id is empty where nobody has journalled it."""
    for name, child in after.children.items():
        known = before.children.get(name)
        was_wanted = known is None or known.wanted
        if child.status is None and was_wanted and (after.ended or not child.wanted):
            yield *name, child.run_id
    left = _starting(after)
    for name in _starting(before):
        # It may exist: whoever asked for it may have died before it could say so.
        if name not in left and name not in after.children:
            yield *name, ""


def _starting(run: Run) -> set[tuple[str, int]]:
    """Return what a run had others begin with, and does not know yet that they exist."""
    phase = run.phase.before if isinstance(run.phase, Paused) else run.phase
    if isinstance(phase, InGraph):
        return set(works.unjournalled(run, phase))
    if not isinstance(phase, Calling):
        return set()
    return {(start.key, start.index) for start in native.starts(run, phase)}
