"""What is known about a run: plain values, folded from its journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.event_pb2 import PlannedStep, RunCreated, ToolCallCompleted
from pentad.state.v1.message_pb2 import Message, ToolCall, Usage
from pentad.state.v1.run_pb2 import Failure, Pause, RunStatus, Settlement, Unwinding
from pentad.state.v1.tool_pb2 import Tool
from pentad_orchestrator.bounds import RunBounds
from pentad_orchestrator.graph.state import InGraph
from pentad_orchestrator.spending import Ledger
from pentad_orchestrator.waits import Asked, Child, Parked, Timer


@dataclass(frozen=True, slots=True)
class Queued:
    """Accepted; nobody has begun to work on it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A step is about to begin."""


@dataclass(frozen=True, slots=True)
class InTurn:
    """A model is called, or was by an owner that is gone."""

    seq: int
    """Place of the event that started this attempt."""

    attempt: int = 1
    failures: int = 0
    """Attempts at this turn that gave nothing; those cut short by a crash do not count."""

    cuts: int = 0
    """Attempts whose executor was gone before they ended."""

    lost: bool = False
    """The owner that called the model is gone."""


@dataclass(frozen=True, slots=True)
class TurnBroken:
    """An attempt at a turn gave nothing."""

    attempt: int
    failures: int
    failure: Failure
    retryable: bool
    failed_at_s: float
    cuts: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the turn before."""

    wish: ToolCall
    started: bool = False
    outcome: ToolCallCompleted | None = None
    unknown: bool = False
    """Nobody knows whether it took place; it waits for a person."""

    attempt: int = 0
    """The attempt of which nobody knew; the ledger counts them from 1."""

    settlement: Settlement | None = None
    """What a person found out; not carried out yet."""

    @property
    def not_done_up_to(self) -> int:
        """Up to which attempt a person found out that it did not take place; 0 if nobody did."""
        found = self.settlement is not None and self.settlement.not_done
        return self.attempt if found else 0

    @property
    def settled(self) -> bool:
        """A person found out how it ended."""
        return self.settlement is not None and not self.settlement.not_done

    @property
    def in_hand(self) -> bool:
        """It was begun, and its outcome is to be asked for."""
        return self.started and self.outcome is None and not (self.unknown or self.settled)


@dataclass(frozen=True, slots=True)
class Calling:
    """Tools are called, or have answered."""

    message: Message
    calls: tuple[Call, ...]

    @property
    def done(self) -> bool:
        """Every call has its outcome."""
        return all(call.outcome is not None for call in self.calls)

    @property
    def unknown(self) -> tuple[Call, ...]:
        """The calls that wait for a person."""
        return tuple(call for call in self.calls if call.unknown)

    def call(self, call_id: str) -> Call:
        """Return the call of that id; KeyError when the turn did not ask for it."""
        for call in self.calls:
            if call.wish.call_id == call_id:
                return call
        raise KeyError(call_id)

    def replaced(self, old: Call, **changes: Any) -> "Calling":
        """Return the same calls with one of them changed."""
        new = replace(old, **changes)
        return replace(self, calls=tuple(new if call is old else call for call in self.calls))


@dataclass(frozen=True, slots=True)
class Answered:
    """A step of several has its answer."""

    output: str


@dataclass(frozen=True, slots=True)
class Finishing:
    """The run has its answer."""

    output: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """The wall time is over."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The journal is closed."""

    state: RunStatus.State.ValueType
    output: str = ""
    failure: Failure | None = None
    cancel_reason: str = ""


Active = Queued | Ready | InTurn | TurnBroken | Calling | InGraph | Answered | Finishing | Overdue


@dataclass(frozen=True, slots=True)
class Paused:
    """Nothing happens until a person resumes the run."""

    before: Active
    """Where it stopped, and goes on."""

    pause: Pause
    since_s: float
    seq: int = 0
    """Place of the event that says so."""


Phase = Active | Paused | Ended


@dataclass(frozen=True)
class Run:
    """One run as its journal tells it."""

    run_id: str
    created: RunCreated
    steps: tuple[PlannedStep, ...]
    agents: Mapping[str, Agent]
    """By name: the revisions that are pinned."""

    tools: Mapping[str, Tool]
    """By name: what those agents may call."""

    bounds: RunBounds
    created_at_s: float
    """By the store's clock, as every time here."""

    phase: Phase = field(default_factory=Queued)
    last_seq: int = 1
    attempt: int = 0
    """Owners so far."""

    fence: int = 0
    """Of the lease of the last owner that began."""

    session_seq: int = 0
    step: int = 0
    """Place of the current step, from 0."""

    outputs: tuple[str, ...] = ()
    """Answers of the steps before it."""

    messages: tuple[Message, ...] = ()
    """What agent and tools said in it."""

    turn: int = 0
    """Number of the last turn started."""

    turns: int = 0
    calls_started: int = 0
    tool_calls: int = 0
    invalid_turns: int = 0
    """Turns in a row all of whose tool calls had arguments that break the schema."""

    paused_s: float = 0.0
    """How long it was paused in all; the wall time stands still meanwhile."""

    owners_lost: int = 0
    """Owners that died on it, or were cut off, since it last got on."""

    usage: Usage = field(default_factory=Usage)
    """Of its turns, and of the runs that it started."""

    spending: Ledger = field(default_factory=dict)
    """The same by agent and model, with the calls of tools."""

    approvals: Mapping[str, Asked] = field(default_factory=dict)
    """What it asked of people, by the id of a call or the path of a node, as the maps below."""

    timers: Mapping[str, Timer] = field(default_factory=dict)
    children: Mapping[tuple[str, int], Child] = field(default_factory=dict)
    """The runs that it started, by what it waits with and their number in it."""

    unwound: Unwinding | None = None
    """What its graph took back, once it cannot complete."""

    parked: Parked | None = None
    now_s: float = 0.0
    """The time, as far as it is known here: that of the last event, or later."""

    def having(self, **changes: Any) -> Self:
        """Return the same run but for some values: `replace`, at a tenth of its price."""
        run = object.__new__(type(self))
        run.__dict__.update(self.__dict__, **changes)
        return run

    def at(self, last_seq: int, time_s: float) -> Self:
        """Return this run, which nobody else has seen yet, with place and time of its last event.

        One that is not recorded yet has no time.
        """
        self.__dict__["last_seq"] = last_seq
        if time_s > self.now_s:
            self.__dict__["now_s"] = time_s
        return self

    def is_native(self, tool: str) -> bool:
        """Whether the orchestrator carries a tool out itself."""
        known = self.tools.get(tool)
        return known is not None and known.native

    @property
    def planned(self) -> PlannedStep:
        """The current step; a graph has none."""
        return self.steps[min(self.step, len(self.steps) - 1)] if self.steps else _NO_STEP

    @property
    def agent(self) -> Agent:
        """Who performs the current step; nobody does a graph."""
        return self.agents[self.planned.agent] if self.steps else _NOBODY

    @property
    def deadline_s(self) -> float:
        """When the run must have ended.

        Time before its start, in pauses, and while it waits for nothing but people and other runs
        does not count.
        """
        began_s = max(self.created_at_s, seconds(self.created.spec.start_time))
        return began_s + self.bounds.wall_time_s + self.paused_s

    @property
    def multi_step(self) -> bool:
        """Whether the work is divided into steps."""
        return self.created.spec.WhichOneof("workflow") == "multi_step"

    @property
    def is_graph(self) -> bool:
        """Whether the work is a workflow's graph."""
        return self.created.HasField("graph")

    @property
    def ended(self) -> bool:
        """Whether the journal is closed."""
        return isinstance(self.phase, Ended)

    @property
    def paused(self) -> bool:
        """Whether it waits for a person, and for nothing else."""
        return isinstance(self.phase, Paused)


_NO_STEP = PlannedStep()
_NOBODY = Agent()


def seconds(time: Timestamp) -> float:
    """Return a time as seconds since the epoch."""
    return time.seconds + time.nanos / 1e9
