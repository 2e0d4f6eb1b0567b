"""What is known about a graph that is worked on: plain values, folded from its run's journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.run_pb2 import Failure
from pentad_chassis.workflows.expressions import Json
from pentad_chassis.workflows.shape import Shape

if TYPE_CHECKING:
    from pentad_orchestrator.run import Call


class Standing(Enum):
    """Where a node stands in the current round of its loop."""

    IDLE = "idle"
    RUNNING = "running"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work under way: a node's, an item's of a map, or one that takes such back."""

    path: str
    node: str
    given: Payload
    """What it works on: a question, arguments, a list."""

    item: int | None = None
    """Its place in the list, for an item."""

    undo: bool = False
    """It takes back what `path` did."""

    attempt: int = 1
    retry_s: float | None = None
    """The attempt failed, and another one begins after so long."""

    of: Json = None
    """The item itself, for one."""

    items: tuple[Json, ...] = ()
    """What a map is made over."""

    begun: int = 0
    """Items that were begun."""

    outputs: Mapping[int, Json] = field(default_factory=dict)
    """What items gave, by their places."""

    failures: Mapping[int, Failure] = field(default_factory=dict)
    """Why items gave nothing."""

    @property
    def name(self) -> str:
        """Unique among what is under way."""
        return f"undo:{self.path}" if self.undo else self.path

    @property
    def map(self) -> str:
        """Path of the map that an item is of."""
        return self.path.rpartition("[")[0]

    @property
    def key(self) -> tuple[str, int]:
        """What the run waits with for the current attempt, unique in the run."""
        again = f"~{self.attempt}" if self.attempt > 1 else ""
        if self.item is not None and not self.undo:
            return f"{self.map}{again}", self.item
        return f"{self.name}{again}", 0

    @property
    def pause(self) -> str:
        """What the run waits with for the next attempt."""
        return f"{self.name}~{self.attempt + 1}"


@dataclass(frozen=True, slots=True)
class Done:
    """Something that was done and can be taken back."""

    path: str
    node: str
    item: int | None
    values: Mapping[str, Json]
    """What expressions could speak of when it was done, its own output among it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The graph cannot complete."""

    ends_s: float
    """When it ends even if not all is taken back."""

    failure: Failure | None = None
    """Why; None where it was cancelled, or its time is over."""

    cancel_reason: str | None = None
    over: bool = False
    """The time has come when it ends."""


@dataclass(frozen=True, slots=True)
class InGraph:
    """A graph is worked on; a phase of its run."""

    shape: Shape
    values: Mapping[str, Json]
    """What expressions may speak of."""

    standings: Mapping[str, Standing] = field(default_factory=dict)
    """Of the nodes that are not idle."""

    rounds: Mapping[str, int] = field(default_factory=dict)
    """How often each node was begun."""

    started: int = 0
    """How often anything was begun."""

    units: Mapping[str, Unit] = field(default_factory=dict)
    """What is under way, by name, in the order in which it was begun."""

    edges: Mapping[int, bool] = field(default_factory=dict)
    """Whether edges are taken, of those of which it is known in this round."""

    loops: Mapping[int, int] = field(default_factory=dict)
    """How often edges back were taken."""

    repeating: tuple[int, ...] = ()
    """Edges back that are taken, and whose loops have not begun again yet."""

    calls: Mapping[str, "Call"] = field(default_factory=dict)
    """Tool calls of what is under way, by their ids."""

    done: tuple[Done, ...] = ()
    output: str = ""
    """Of the node that completed last."""

    failure: Failure | None = None
    """Why it cannot complete, before it is unwound."""

    stop: Stop | None = None

    def having(self, **changes: Any) -> "InGraph":
        """Return the same graph but for some values."""
        return replace(self, **changes)

    def with_unit(self, unit: Unit) -> "InGraph":
        """Return the same graph with a unit, or with one changed."""
        return replace(self, units={**self.units, unit.name: unit})

    def without(self, unit: Unit) -> "InGraph":
        """Return the same graph without a unit, and without the call that it made."""
        return replace(
            self,
            units={name: each for name, each in self.units.items() if name != unit.name},
            calls={call: each for call, each in self.calls.items() if call != unit.key[0]},
        )

    def map_of(self, unit: Unit) -> Unit | None:
        """Return the map that an item is of, as long as that is under way."""
        return None if unit.item is None or unit.undo else self.units.get(unit.map)

    def standing(self, node: str) -> Standing:
        """Return where a node stands."""
        return self.standings.get(node, Standing.IDLE)

    @property
    def unknown(self) -> tuple["Call", ...]:
        """The calls that wait for a person."""
        return tuple(call for call in self.calls.values() if call.unknown)

    def call(self, call_id: str) -> "Call":
        """Return the call of that id; KeyError when there is none."""
        return self.calls[call_id]

    def replaced(self, old: "Call", **changes: Any) -> "InGraph":
        """Return the same graph with one of its calls changed."""
        return replace(self, calls={**self.calls, old.wish.call_id: replace(old, **changes)})
