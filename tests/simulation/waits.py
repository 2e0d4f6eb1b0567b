"""What must be true of runs that waited, once everything has calmed down."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simulation.agents import GUARDED
from simulation.stored import DECIDED, Stored

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunStatus

if TYPE_CHECKING:
    from simulation.world import World


def judge_waits(world: "World", stored: Stored) -> None:
    """Note everything about what a run waited for that is not as it must be."""
    for wrong in (*_leave(stored), *_decisions(stored), *_children(world, stored)):
        world.watch.violated(f"{stored.run.run_id}: {wrong}")


def _leave(stored: Stored) -> Iterator[str]:
    """What a person has to allow was allowed before it began."""
    if stored.run.spec.agent != "clerk":
        return
    allowed: set[str] = set()
    for event in stored.journal:
        decided, started = event.approval_decided, event.tool_call_started
        if decided.decision.verdict == Decision.VERDICT_APPROVED:
            allowed.add(decided.key)
        if started.tool == GUARDED and started.call_id not in allowed:
            yield f"{started.call_id} began without leave"


def _decisions(stored: Stored) -> Iterator[str]:
    """What people decided is journalled, once, and nobody is asked any more."""
    heard = [e.approval_decided.key for e in stored.journal if e.HasField("approval_decided")]
    expired = {e.approval_expired.key for e in stored.journal}
    for key, approval in stored.approvals.items():
        asked = approval.kind != Approval.KIND_UNKNOWN_EFFECTS
        if approval.state == Approval.STATE_PENDING:
            yield f"{key} is asked for ever"
        if not asked or not _went_on(stored):
            continue
        if approval.state in DECIDED and heard.count(key) != 1:
            yield f"{key} was decided, and heard {heard.count(key)} times"
        if (approval.state == Approval.STATE_EXPIRED) != (key in expired):
            yield f"{key} expired, or not"


def _children(world: "World", stored: Stored) -> Iterator[str]:
    """Every child is one that its parent knows; what is told of it is what became of it."""
    runs = {s.run.run_id: s for s in world.runs.stored.values()}
    started = {(e.child_started.key, e.child_started.index): e for e in _with(stored, "started")}
    for event in started.values():
        child = runs[event.child_started.run_id].journal[0].run_created.parent
        told = event.child_started
        if (child.run_id, child.key, child.index) != (stored.run.run_id, told.key, told.index):
            yield f"{told.run_id} is not its child"
    for event in _with(stored, "ended"):
        name = (event.child_ended.key, event.child_ended.index)
        if name in started:
            child_id = started[name].child_started.run_id
            if runs[child_id].run.status.state != event.child_ended.status.state:
                yield f"what it was told of {child_id} is not so"
    if stored.run.status.state == RunStatus.STATE_COMPLETED:
        own = sum(e.turn_completed.usage.input_tokens for e in stored.journal)
        childrens = sum(e.child_ended.status.usage.input_tokens for e in _with(stored, "ended"))
        if stored.run.status.usage.input_tokens != own + childrens:
            yield "what it and its children consumed is not what it says"


def _with(stored: Stored, what: str) -> list[Event]:
    return [event for event in stored.journal if event.HasField(f"child_{what}")]  # type: ignore[arg-type]


def _went_on(stored: Stored) -> bool:
    """Whether a run came to its own end, and did not end while something was on its way to it."""
    return stored.run.status.state == RunStatus.STATE_COMPLETED
