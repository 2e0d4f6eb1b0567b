"""The runs that a run starts: what they may use, how many at once, when enough is done. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.event_pb2 import ChildEnded, ChildStarted, Event
from pentad.state.v1.run_pb2 import Failure, RunSpec, RunStatus
from pentad_orchestrator.run import Run
from pentad_orchestrator.spending import merged
from pentad_orchestrator.usage import total
from pentad_orchestrator.waits import Child

AT_ONCE = 100
"""Runs that one run waits for at the same time; its status names them all."""

DEPTH_MAX = 8
DEPTH_EXCEEDED = "CHILD_DEPTH_EXCEEDED"
FAILED = "CHILD_FAILED"

REQUESTS = "pentad:"
"""Request ids that begin so are Pentad's own."""


class Join(Enum):
    """How many of several runs must succeed before their parent goes on."""

    ALL = "all"
    ANY = "any"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class FanOut:
    """Several runs that are started for one purpose."""

    key: str
    total: int
    parallelism: int = 1
    join: Join = Join.ALL
    count: int = 1
    """So many successes are enough, with `FIRST`."""

    @property
    def enough(self) -> int:
        """How many must succeed."""
        wanted = {Join.ALL: self.total, Join.ANY: 1, Join.FIRST: self.count}
        return min(self.total, wanted[self.join])

    def statuses(self, run: Run) -> Mapping[int, RunStatus]:
        """Return how those ended that have, by their number."""
        known = ((index, run.children.get((self.key, index))) for index in range(self.total))
        return {i: child.status for i, child in known if child is not None and child.status}

    def done(self, run: Run) -> bool:
        """Whether the parent goes on: enough have succeeded, or cannot any more.

        With `ALL` every one is waited for, so that each outcome is known.
        """
        ended = self.statuses(run)
        succeeded = sum(map(succeeds, ended.values()))
        if self.join is Join.ALL:
            return len(ended) == self.total
        return succeeded >= self.enough or self.total - len(ended) + succeeded < self.enough

    def next(self, run: Run, room: int) -> Sequence[int]:
        """Return the numbers of those that are to be started now, `room` at most."""
        known = {index for key, index in run.children if key == self.key}
        at_work = sum(run.children[self.key, index].open for index in known)
        free = max(0, min(room, self.parallelism - at_work))
        return [index for index in range(self.total) if index not in known][:free]


def room(run: Run) -> int:
    """Return how many more runs may be started now."""
    return AT_ONCE - sum(child.open for child in run.children.values())


def spec_of(run: Run, agent: str, text: str) -> RunSpec:
    """Return what is asked of an agent: with what the parent has left, and no more."""
    spec = RunSpec(agent=agent, input=text, priority=run.created.spec.priority)
    bound(run, spec)
    return spec


def bound(run: Run, spec: RunSpec) -> None:
    """Cut what a child may use to what its parent has left; nobody gets less than one of each."""
    own, left = spec.limits, run.created.spec.limits
    wall_time = Duration()
    wall_time.FromNanoseconds(int(max(1.0, run.deadline_s - run.now_s) * 1e9))
    own.max_turns = _least(own.max_turns, max(1, run.bounds.turns - run.turn))
    own.max_tool_calls = _least(
        own.max_tool_calls, max(1, run.bounds.tool_calls - run.calls_started)
    )
    own.max_output_tokens = _least(own.max_output_tokens, left.max_output_tokens)
    own.max_repeats = _least(own.max_repeats, left.max_repeats)
    if not own.HasField("wall_time") or wall_time.ToNanoseconds() < own.wall_time.ToNanoseconds():
        own.wall_time.CopyFrom(wall_time)
    if not own.HasField("turn_timeout") and left.HasField("turn_timeout"):
        own.turn_timeout.CopyFrom(left.turn_timeout)


def too_deep(run: Run) -> bool:
    """Whether the run may not start others, for it is a child of so many."""
    return run.created.parent.depth >= DEPTH_MAX


def request_id(run_id: str, key: str, index: int) -> str:
    """Return the name of the request that creates a child: a repeat finds the same run."""
    return f"{REQUESTS}child/{run_id}/{key}/{index}"


def start(key: str, index: int, run_id: str) -> Event:
    """Return the event that a child was created."""
    return Event(child_started=ChildStarted(key=key, index=index, run_id=run_id))


def unstartable(key: str, index: int, failure: Failure) -> Event:
    """Return the event that a child cannot be created: it counts as one that failed."""
    status = RunStatus(state=RunStatus.STATE_FAILED, failure=failure)
    return Event(child_ended=ChildEnded(key=key, index=index, status=status))


def succeeds(status: RunStatus) -> bool:
    """Whether a run ended with its answer."""
    return status.state == RunStatus.STATE_COMPLETED


def started(run: Run, event: Event) -> Run | None:
    """Return the run after it started another."""
    told = event.child_started
    if (told.key, told.index) in run.children:
        return None
    return _with(run, told.key, told.index, Child(told.run_id))


def ended(run: Run, event: Event) -> Run | None:
    """Return the run after one that it started has ended; what that consumed counts once.

    The word of its end may come before it is journalled that it was started.
    """
    told = event.child_ended
    child = run.children.get((told.key, told.index), Child(""))
    if child.status is not None:
        return None
    after = _with(run, told.key, told.index, replace(child, status=told.status))
    after = after.having(spending=merged(run.spending, told.status.spending))
    if told.status.turns == 0 and not told.status.usage.ByteSize():
        return after
    first = run.turns == 0 and not run.usage.ByteSize()
    return after.having(usage=total(run.usage, told.status.usage, first=first))


def unwanted(run: Run, key: str) -> Run:
    """Return the run after it goes on without those of its children that have not ended."""
    if not any(child.open for (of, _), child in run.children.items() if of == key):
        return run
    children = {
        name: replace(child, wanted=False) if name[0] == key and child.open else child
        for name, child in run.children.items()
    }
    return run.having(children=children)


def _with(run: Run, key: str, index: int, child: Child) -> Run:
    return run.having(children={**run.children, (key, index): child})


def _least(own: int, parents: int) -> int:
    given = [value for value in (own, parents) if value > 0]
    return min(given, default=0)
