"""What a run may wait for: people, times and other runs. Plain values, folded from its journal."""

from dataclasses import dataclass

from pentad.state.v1.approval_pb2 import Approval, Decision
from pentad.state.v1.run_pb2 import RunStatus, Waiting


@dataclass(frozen=True, slots=True)
class Asked:
    """An approval that the run asked for."""

    approval: Approval
    """As it was requested, with those who may decide by now."""

    decision: Decision | None = None
    expired: bool = False

    @property
    def open(self) -> bool:
        """Nobody has decided, and somebody still may."""
        return self.decision is None and not self.expired


@dataclass(frozen=True, slots=True)
class Timer:
    """A time that the run waits for."""

    fire_s: float
    fired: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """A run that the run started."""

    run_id: str
    status: RunStatus | None = None
    """How it ended; None while it has not."""

    wanted: bool = True
    """False once the run goes on without it: it is to be cancelled."""

    @property
    def open(self) -> bool:
        """The run waits for it."""
        return self.wanted and self.status is None


@dataclass(frozen=True, slots=True)
class Parked:
    """The run is nobody's until what it waits for has come."""

    waiting: Waiting
    since_s: float
    still: bool
    """It waits for nothing but people and other runs: its wall time stands still."""
