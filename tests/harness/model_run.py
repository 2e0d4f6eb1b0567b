"""A simple model of a run in the store."""

from dataclasses import dataclass, field

from harness.machines import SHORT_S

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import Lease

QUEUED, HELD = RunStatus.STATE_QUEUED, RunStatus.STATE_RUNNING
ENDED, RESTING = RunStatus.STATE_COMPLETED, RunStatus.STATE_PAUSED
WAITING = RunStatus.STATE_WAITING

ASKED = (0, 0)
"""Where a run stands that is to be cancelled or to rest."""


@dataclass
class Appended:
    """An append that was accepted, for repeating it."""

    seq: int
    append_id: str
    events: list[Event]
    lease: Lease


@dataclass
class ModelRun:
    """What a run should be."""

    run_id: str
    fingerprint: bytes
    level: int
    delayed: bool
    """Its start is far ahead."""
    rank: tuple[int, int] = (0, 0)
    """Where it waits: its level, and whether it goes behind those that were begun."""
    kinds: list[str] = field(default_factory=lambda: ["run_created"])
    texts: dict[int, str] = field(default_factory=dict)
    state: RunStatus.State.ValueType = QUEUED
    fence: int = 0
    expired: bool = False
    lost: bool = False  # taken from another owner, whose lease had expired
    owner: str = ""
    cancel: str | None = None
    pause: str | None = None
    resumed: str | None = None
    withdrawn: str | None = None
    asks: bool = False
    """It rests for a call of which nobody knows whether it took place."""
    resumes: set[str] = field(default_factory=set)
    told: list[int] = field(default_factory=list)
    """All that it was ever told."""
    told_ids: set[str] = field(default_factory=set)
    heard: int = 0
    """How much of that is journalled."""
    wakes: bool = False
    """It waits for a time that is over by now."""
    appends: list[Appended] = field(default_factory=list)

    @property
    def claimable(self) -> bool:
        if self.state == QUEUED:
            return not (self.delayed and self.rank[1])
        return (self.state == HELD and self.expired) or (self.state == WAITING and self.wakes)

    @property
    def states(self) -> set[RunStatus.State.ValueType]:
        """As what it may be seen: a short time may have been over before the store looked at it."""
        woken = self.state == WAITING and self.wakes
        return {QUEUED, WAITING} if woken else {self.state}

    @property
    def unheard(self) -> list[int]:
        return self.told[self.heard :]

    @property
    def lease(self) -> Lease:
        return Lease(run_id=self.run_id, fence=self.fence)

    def take(self, owner: str, lease_s: float) -> None:
        self.lost = self.state == HELD and owner != self.owner
        self.owner = owner
        self.state, self.fence, self.expired = HELD, self.fence + 1, lease_s == SHORT_S

    def hear(self, upto: int) -> None:
        self.heard = max(self.heard, min(upto, len(self.told)))

    def wait(self, *, wakes: bool) -> None:
        asked = (self.cancel, self.pause) != (None, None)
        self.withdrawn = None
        self.wakes = wakes
        self.state = QUEUED if asked or self.unheard else WAITING
        self.rank = ASKED if asked else (self.level, 0)

    def rest(self, *, parked: bool) -> None:
        withdrawn = None if parked else self.withdrawn
        self.pause = self.withdrawn = None
        self.asks = parked
        if withdrawn is not None:
            self.resumed = withdrawn
        goes_on = withdrawn is not None or self.cancel is not None
        self.state = QUEUED if goes_on else RESTING
        self.rank = (self.level, 0) if self.cancel is None else ASKED
