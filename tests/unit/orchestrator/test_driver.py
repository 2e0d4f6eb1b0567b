"""One run and its owner: what it hears, and when it is let go of. Time is virtual."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from harness.fakes import fault
from simulation.loop import virtual
from unit.orchestrator import graphs
from unit.orchestrator.naps import patience
from unit.orchestrator.story import asks, says
from unit.orchestrator.waits import CALL, created, decided

from pentad.state.v1.approval_pb2 import Approval
from pentad.state.v1.approval_policy_pb2 import ApprovalPolicy
from pentad.state.v1.event_pb2 import Event, RunCreated
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import (
    AppendEventsRequest,
    AppendEventsResponse,
    ClaimedRun,
    Lease,
    RunSignals,
)
from pentad_chassis.clock import SystemClock
from pentad_chassis.errors import Aborted
from pentad_chassis.metrics import Metrics
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator.commands import Command, ExecuteTurn, InvokeTool
from pentad_orchestrator.conversation import History
from pentad_orchestrator.driver import Driver, Owner
from pentad_orchestrator.journal import Journal
from pentad_orchestrator.metrics import RunMetrics
from pentad_orchestrator.run import Run
from pentad_orchestrator.trials import Trials


class Store:
    """A journal, and what was said beside it."""

    def __init__(self, made: RunCreated) -> None:
        self.clock = SystemClock()
        self.events: list[Event] = []
        self.appends: list[AppendEventsRequest] = []
        self.board: dict[str, Approval] = {}
        self.overtaken = 0
        """So many expiries are refused, for somebody decided before."""
        self.record([Event(run_created=made)])

    async def AppendEvents(
        self, request: AppendEventsRequest, *, timeout: float
    ) -> AppendEventsResponse:
        if self.overtaken and any(change.must_be_pending for change in request.approvals):
            self.overtaken -= 1
            raise fault(Aborted, "SIGNAL_UNHEARD")
        self.appends.append(request)
        self.board |= {change.approval.key: change.approval for change in request.approvals}
        return AppendEventsResponse(events=self.record(request.events))

    def record(self, events: Sequence[Event]) -> list[Event]:
        recorded = []
        for event in events:
            kept = Event(run_id="07-run", seq=len(self.events) + 1)
            kept.MergeFrom(event)
            kept.time.FromNanoseconds(int(self.clock.now() * 1e9))
            self.events.append(kept)
            recorded.append(kept)
        return recorded

    @property
    def kinds(self) -> list[str]:
        return [str(event.WhichOneof("kind")) for event in self.events]


class Performer:
    """Models and tools that answer at once: with a tool's call first, then with a text."""

    def __init__(self, first: Callable[[Run], Event]) -> None:
        self._first = first
        self.invoked: list[str] = []
        self.lasts_s = 0.0
        self.breaks = False
        self.conversation = self

    async def history(self, run: Run) -> History:
        return History()

    async def perform(self, command: Command, run: Run, *_: object) -> Event:
        if self.breaks:
            raise ZeroDivisionError
        if isinstance(command, ExecuteTurn):
            return self._first(run) if command.turn == 1 else says(run, "done")
        assert isinstance(command, InvokeTool)
        self.invoked.append(command.call_id)
        await asyncio.sleep(self.lasts_s)
        event = Event()
        event.tool_call_completed.call_id = command.call_id
        event.tool_call_completed.result.text = "5"
        return event


class Owned:
    """A run in work."""

    def __init__(self, tool: str, arguments: str, made: RunCreated | None = None) -> None:
        self.store = Store(made or created())
        self.performer = Performer(lambda run: _asks(run, tool, arguments))
        self.driver = self._take(1, None)

    def take_again(self, signals: RunSignals) -> None:
        """Have the run taken up again, after it was told something."""
        self.driver = self._take(2, signals)

    def _take(self, fence: int, signals: RunSignals | None) -> Driver:
        runs: Any = self.store
        performer: Any = self.performer
        lease, length = Lease(run_id="07-run", fence=fence), len(self.store.events)
        return Driver(
            ClaimedRun(lease=lease, events=self.store.events, last_seq=length, signals=signals),
            Owner("me", Trials()),
            performer,
            Journal(runs, lease, length, patience(), SystemClock(), 10.0),
            silent_telemetry("orchestrator"),
            RunMetrics(Metrics()),
        )

    def tell(self, *events: Event, first: int = 1) -> None:
        self.driver.tell(RunSignals(run_id="07-run", first=first, events=events))


def _asks(run: Run, tool: str, arguments: str) -> Event:
    event = asks(run, [tool])
    event.turn_completed.message.tool_calls[0].arguments.text = arguments
    return event


def play(scene: Coroutine[Any, Any, None]) -> None:
    with virtual(0) as loop:
        loop.run_until_complete(scene)


def test_a_run_that_waits_is_let_go_of_after_a_while_and_not_before() -> None:
    async def scene() -> None:
        owned = Owned("ask_human", '{"question": "Which?"}')
        begun_s = owned.store.clock.monotonic()
        await owned.driver.drive()

        assert owned.store.clock.monotonic() - begun_s == pytest.approx(1.0, abs=0.01)
        assert owned.store.kinds[-2:] == ["approval_requested", "run_waiting"]
        assert owned.store.appends[-1].status.state == RunStatus.STATE_WAITING
        assert owned.driver.ended, "there is no lease to give back"

    play(scene())


def test_what_comes_soon_is_heard_by_the_owner_and_costs_nothing_more() -> None:
    async def scene() -> None:
        owned = Owned("ask_human", '{"question": "Which?"}')
        asyncio.get_running_loop().call_later(0.5, owned.tell, decided(answer='"M"'))
        await owned.driver.drive()

        assert "run_waiting" not in owned.store.kinds
        assert owned.store.kinds[-1] == "run_completed"
        assert owned.store.appends[-1].heard_signals == 1

    play(scene())


def test_what_is_said_again_is_heard_once() -> None:
    async def scene() -> None:
        owned = Owned("ask_human", '{"question": "Which?"}')
        call_later = asyncio.get_running_loop().call_later
        call_later(0.2, owned.tell, decided("0.9.9"), decided(answer='"M"'))
        call_later(0.2, owned.tell, decided("0.9.9"), decided(answer='"M"'))
        await owned.driver.drive()

        assert owned.store.kinds.count("approval_decided") == 1
        assert owned.store.appends[-1].heard_signals == 2, "what means nothing is heard as well"

    play(scene())


def test_what_a_run_was_told_before_it_was_taken_comes_right_behind_its_start() -> None:
    async def scene() -> None:
        owned = Owned("ask_human", '{"question": "Which?"}')
        await owned.driver.drive()
        owned.take_again(RunSignals(first=1, events=[decided(answer='"M"')]))
        await owned.driver.drive()

        kinds = owned.store.kinds
        at = kinds.index("run_waiting")
        assert kinds[at + 1 : at + 4] == ["run_started", "approval_decided", "tool_call_completed"]
        assert kinds[-1] == "run_completed"

    play(scene())


def test_a_sleep_shorter_than_that_is_slept_by_the_owner() -> None:
    async def scene() -> None:
        owned = Owned("sleep", '{"seconds": 0.9}')
        begun_s = owned.store.clock.monotonic()
        await owned.driver.drive()

        assert "run_waiting" not in owned.store.kinds
        assert owned.store.clock.monotonic() - begun_s == pytest.approx(0.9, abs=0.01)

    play(scene())


def test_a_decision_that_was_made_before_an_expiry_counts() -> None:
    """The store refuses the expiry; what was decided is heard a little later."""

    async def scene() -> None:
        policy = ApprovalPolicy()
        policy.expire_after.FromMilliseconds(500)
        owned = Owned("add", "{}", created(policy=policy))
        owned.store.overtaken = 1
        asyncio.get_running_loop().call_later(0.9, owned.tell, decided())
        await owned.driver.drive()

        assert owned.store.overtaken == 0
        assert "approval_expired" not in owned.store.kinds
        assert owned.performer.invoked == [CALL]
        assert owned.store.kinds[-1] == "run_completed"

    play(scene())


def test_an_approval_that_expires_is_seen_to() -> None:
    async def scene() -> None:
        policy = ApprovalPolicy()
        policy.expire_after.FromMilliseconds(500)
        owned = Owned("add", "{}", created(policy=policy))
        await owned.driver.drive()

        assert owned.store.kinds.count("approval_expired") == 1
        assert owned.store.board[CALL].state == Approval.STATE_EXPIRED
        assert not owned.performer.invoked

    play(scene())


@pytest.mark.parametrize(
    ("ask", "last"), [("cancel", "run_cancelled"), ("pause", "run_paused"), ("drain", "")]
)
def test_a_run_that_waits_does_as_it_is_asked(ask: str, last: str) -> None:
    async def scene() -> None:
        owned = Owned("ask_human", '{"question": "Which?"}')
        arguments = () if ask == "drain" else ("enough",)
        asked = getattr(owned.driver, ask)
        asyncio.get_running_loop().call_later(0.5, asked, *arguments)
        await owned.driver.drive()

        assert owned.store.kinds[-1] == last or not last
        assert owned.driver.ended is bool(last), "a run that is handed back is still held"
        if ask == "cancel":
            assert owned.store.board[CALL].state == Approval.STATE_WITHDRAWN

    play(scene())


def test_a_run_that_a_defect_ends_tells_its_parent() -> None:
    async def scene() -> None:
        made = created()
        made.parent.run_id = "03-parent"
        owned = Owned("sub", "{}", made)
        owned.performer.breaks = True
        await owned.driver.drive()

        (job,) = owned.store.appends[-1].jobs
        assert job.signal_run.run_id == "03-parent"
        assert job.signal_run.event.child_ended.status.failure.reason == "INTERNAL"

    play(scene())


def test_a_cancel_has_a_graphs_call_end_and_does_not_begin_it_again() -> None:
    """Cut off, a call that must not be repeated would be one of which nobody knows."""

    async def scene() -> None:
        owned = Owned("", "", graphs.created(graphs.workflow({"a": graphs.tool()})))
        owned.performer.lasts_s = 1.0
        asyncio.get_running_loop().call_later(0.5, owned.driver.cancel, "enough")
        await owned.driver.drive()

        assert len(owned.performer.invoked) == 1
        kinds = owned.store.kinds
        assert kinds.index("unwinding_started") < kinds.index("tool_call_completed")
        assert owned.store.appends[-1].status.state == RunStatus.STATE_CANCELLED

    play(scene())
