"""What a run can ask for. Each ends in the one event that says how it went."""

from dataclasses import dataclass, field

from pentad.state.v1.run_pb2 import RunSpec


@dataclass(frozen=True, slots=True)
class ExecuteTurn:
    """Call the model; ends in `turn_completed` or `turn_failed`."""

    turn: int
    attempt: int


@dataclass(frozen=True, slots=True)
class InvokeTool:
    """Call a tool; ends in `tool_call_completed`, or `effect_unknown`."""

    call_id: str
    not_done_up_to: int = 0
    """A person found out that no attempt up to this one took place."""


@dataclass(frozen=True, slots=True)
class StartChild:
    """Have another run begin; ends in `child_started`, or `child_ended` where it cannot."""

    key: str
    index: int
    spec: RunSpec = field(compare=False, repr=False)
    """What is asked of it; the same for every attempt, but for the time that is left."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait before another attempt at a turn; ends in `turn_restarted`."""

    turn: int
    attempt: int
    until_s: float


@dataclass(frozen=True, slots=True)
class AwaitTimer:
    """Wait for a time; ends in `timer_fired`, `approval_escalated` or `approval_expired`."""

    key: str
    at_s: float


@dataclass(frozen=True, slots=True)
class AwaitDeadline:
    """Wait for the end of the wall time; ends in `deadline_reached`."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SaveSession:
    """Append question and answer to the session; ends in `run_completed`."""


Work = ExecuteTurn | InvokeTool | StartChild | Sleep | SaveSession
"""What takes a task of its own."""

Wait = AwaitTimer | AwaitDeadline
"""What takes nothing but time, and no process if it is long."""

Command = Work | Wait
