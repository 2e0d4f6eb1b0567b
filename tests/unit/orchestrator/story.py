"""A run without a shell: a journal that a test writes, event by event."""

from collections.abc import Sequence

from pentad.state.v1.agent_pb2 import Agent, Limits
from pentad.state.v1.event_pb2 import (
    EffectUnknown,
    Event,
    PlannedStep,
    RunCreated,
    RunResumed,
    RunStarted,
    ToolCallCompleted,
    TurnCompleted,
    TurnFailed,
)
from pentad.state.v1.message_pb2 import Message, Payload, ToolCall, ToolError, Usage
from pentad.state.v1.run_pb2 import Failure, MultiStepWorkflow, RunSpec, Settlement
from pentad_orchestrator import plan
from pentad_orchestrator.run import Run

START_S = 1_800_000_000


def simple(limits: Limits | None = None, session_id: str = "") -> RunCreated:
    """Return the creation of a run of one agent."""
    return RunCreated(
        tenant="acme",
        spec=RunSpec(agent="clerk", input="add", limits=limits, session_id=session_id),
        steps=[PlannedStep(name="run", agent="clerk", input="add")],
        agents=[Agent(name="clerk", tools=["add", "sub"])],
    )


def stepwise(count: int) -> RunCreated:
    """Return the creation of a run of several steps."""
    names = [f"step{number}" for number in range(count)]
    created = simple()
    created.spec.multi_step.CopyFrom(MultiStepWorkflow())
    del created.steps[:]
    created.steps.extend(PlannedStep(name=n, agent="clerk", input=n) for n in names)
    return created


class Story:
    """A journal and the run it tells of; a second passes with each event."""

    def __init__(self, created: RunCreated | None = None) -> None:
        self.events: list[Event] = []
        self._waited_s = 0
        self._stamp(Event(run_created=created or simple()))
        self.run: Run = plan.begin(self.events[0])

    @property
    def kinds(self) -> list[str]:
        return [str(event.WhichOneof("kind")) for event in self.events]

    def record(self, *outcomes: Event, pause: str | None = None) -> "Story":
        """Journal outcomes and what follows from them, as the shell does; pause if asked to."""
        for event in outcomes:
            self.add(event)
        for event in plan.follow_up(self.run, may_start=pause is None):
            self.add(event)
        if pause is not None and (paused := plan.paused(self.run, pause)):
            self.add(paused)
        return self

    def add(self, event: Event) -> None:
        """Journal one event and nothing that follows."""
        self.run = plan.evolve(self.run, self._stamp(event))

    def start(self, *, lost: bool = False, pause: str | None = None) -> "Story":
        """Let an owner take the run, perhaps because the one before it was lost."""
        return self.record(started(self.run.attempt + 1, lost=lost), pause=pause)

    def resume(self, *settlements: Settlement, pause: str | None = None) -> "Story":
        """Let an owner take the run that a person lets go on."""
        told = Event(run_resumed=RunResumed(settlements=settlements))
        return self.record(started(self.run.attempt + 1), told, pause=pause)

    def wait(self, seconds: int) -> "Story":
        """Let time pass."""
        self._waited_s += seconds
        return self

    def _stamp(self, event: Event) -> Event:
        recorded = Event(run_id="07-run", seq=len(self.events) + 1)
        recorded.MergeFrom(event)
        recorded.time.seconds = START_S + recorded.seq + self._waited_s
        self.events.append(recorded)
        return recorded


def started(attempt: int, session_seq: int = 0, *, lost: bool = False) -> Event:
    return Event(
        run_started=RunStarted(
            owner="me", attempt=attempt, session_seq=session_seq, owner_lost=lost
        )
    )


def says(run: Run, text: str, usage: Usage | None = None) -> Event:
    """Return the outcome of a turn that answers."""
    return _completed(run, Message(text=text), usage)


def asks(run: Run, tools: Sequence[str]) -> Event:
    """Return the outcome of a turn that asks for tools."""
    wishes = [
        ToolCall(call_id=f"{run.step}.{run.turn}.{i}", tool=tool, model_call_id=f"m{i}")
        for i, tool in enumerate(tools)
    ]
    return _completed(run, Message(tool_calls=wishes), None)


def breaks(run: Run, *, retryable: bool = True, **metadata: str) -> Event:
    """Return the outcome of a turn that gives nothing."""
    failure = Failure(reason="MODEL_UNAVAILABLE", message="away", metadata=metadata)
    return Event(
        turn_failed=TurnFailed(
            step=run.planned.name, turn=run.turn, failure=failure, retryable=retryable
        )
    )


def cut(run: Run) -> Event:
    """Return the outcome of a turn whose executor was gone in the midst."""
    event = breaks(run)
    event.turn_failed.failure.reason = "UNAVAILABLE"
    event.turn_failed.cut_short = True
    return event


def returns(call_id: str, text: str = "5") -> Event:
    """Return the outcome of a call that succeeds."""
    return Event(tool_call_completed=ToolCallCompleted(call_id=call_id, result=Payload(text=text)))


def errs(call_id: str, reason: str = "TOOL_FAILED") -> Event:
    """Return the outcome of a call that does not."""
    error = ToolError(reason=reason, message="no")
    return Event(tool_call_completed=ToolCallCompleted(call_id=call_id, error=error))


def unknown(call_id: str, attempt: int = 1) -> Event:
    """Return the outcome of a call whose runner died."""
    return Event(effect_unknown=EffectUnknown(call_id=call_id, tool="add", attempt=attempt))


def _completed(run: Run, message: Message, usage: Usage | None) -> Event:
    return Event(
        turn_completed=TurnCompleted(
            step=run.planned.name, turn=run.turn, message=message, usage=usage
        )
    )
