"""The shell around the plan: drives one run for as long as it is ours."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pentad.state.v1.event_pb2 import Event, RunFailed, RunStarted
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Failure, RunStatus
from pentad.state.v1.run_service_pb2 import ClaimedRun
from pentad_chassis import semconv
from pentad_chassis.telemetry import Telemetry, fail
from pentad_orchestrator import plan
from pentad_orchestrator.commands import AwaitDeadline, Command, SaveSession, Sleep, Work
from pentad_orchestrator.journal import Journal, LeaseLost
from pentad_orchestrator.lineage import attributes_of, lineage_of
from pentad_orchestrator.metrics import RunMeter, RunMetrics
from pentad_orchestrator.performer import Performer
from pentad_orchestrator.run import Ended, Run
from pentad_orchestrator.trials import Trials

_BATCH_BYTES = 256 * 1024
"""Outcomes that wait are journalled together up to this; an append holds at most 1 MiB."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who drives runs."""

    name: str
    trials: Trials


class Driver:
    """Executes what the plan decides and journals how it went, until the run ends or is lost."""

    def __init__(
        self,
        claimed: ClaimedRun,
        owner: Owner,
        performer: Performer,
        journal: Journal,
        telemetry: Telemetry,
        metrics: RunMetrics,
    ) -> None:
        self._claimed = claimed
        self._owner = owner
        self._performer = performer
        self._journal = journal
        self._telemetry = telemetry
        self._metrics = metrics
        self._meter: RunMeter | None = None
        self._log = telemetry.log.bind(run_id=claimed.lease.run_id)
        self._run: Run | None = None
        self._history: Sequence[Message] = ()
        self._in_flight: dict[Command, asyncio.Task[None] | asyncio.TimerHandle] = {}
        self._outcomes: deque[tuple[Command, Event]] = deque()
        self._cancel_reason = claimed.cancel_reason if claimed.cancel_requested else None
        self._pause_reason = claimed.pause_reason if claimed.pause_requested else None
        self._draining = False
        self._wake = asyncio.Event()
        self.ended = False
        """The journal is closed, or the run is paused: there is no lease to give back."""

    async def drive(self) -> None:
        """Work on the run until it has ended, is paused or lost, or is at rest after `drain`."""
        try:
            journal = await self._journal.read(self._claimed.events)
            run = self._run = plan.fold(journal)
        except LeaseLost as lost:
            self._log.info("run lost", reason=lost.reason)
            return
        except plan.UnknownEvent:
            # Written by a newer version; one of its replicas takes the run when the lease ends.
            self._log.exception("journal is beyond this version")
            return
        except Exception:  # noqa: BLE001 - one run's defect must not reach the others
            self._log.exception("journal cannot be read")
            await self._fail()
            return
        self._claimed.ClearField("events")  # the run holds what is needed of them
        try:
            if await self._may_begin(run):
                await self._drive(run, journal)
        finally:
            self._owner.trials.over(self._wake)

    async def _drive(self, run: Run, journal: Sequence[Event]) -> None:
        with (
            self._telemetry.span(
                f"{semconv.OPERATION_INVOKE_AGENT} {run.agent.name}",
                attributes=attributes_of(run, self._journal.lease),
                traceparent=run.created.traceparent,
                lineage=lineage_of(self._journal.lease),
            ) as span,
            self._metrics.working(run, journal) as self._meter,
        ):
            failure = await self._work_or_fail(run)
            if failure:
                fail(span, failure)

    async def _may_begin(self, run: Run) -> bool:
        """Wait while another suspect is on trial here; False when it is to be handed back first."""
        lost = run.owners_lost + self._owner_lost(run)
        while self._cancel_reason is None and not self._is_stopping:
            if self._owner.trials.may_begin(self._wake, lost):
                break
            self._log.warning("run waits, for it may be what owners die of", owners_lost=lost)
            await self._wake.wait()
            self._wake.clear()
        return not self._draining

    def _owner_lost(self, run: Run) -> bool:
        """Whether the owner before died after it had begun; one that had not died of others."""
        return (
            self._claimed.owner_lost
            and run.attempt > 0
            and run.fence in {0, self._journal.lease.fence - 1}
        )

    def cancel(self, reason: str) -> None:
        """End the run at a caller's wish, unless its answer is there."""
        if self._cancel_reason is None:
            self._cancel_reason = reason
            self._wake.set()

    def pause(self, reason: str) -> None:
        """Begin nothing more; let the run rest when all that was begun is journalled."""
        if self._pause_reason is None:
            self._pause_reason = reason
            self._wake.set()

    def drain(self) -> None:
        """Begin nothing more; come to rest when all that was begun is journalled."""
        self._draining = True
        self._wake.set()

    def revoke(self, reason: str) -> None:
        """Append nothing more: the run is another owner's, or may be."""
        self._journal.revoke(reason)

    @property
    def lost(self) -> bool:
        """Whether the run is not ours any more."""
        return self._journal.lost

    async def _work_or_fail(self, run: Run) -> str:
        """Return the reason for which the run failed, or nothing."""
        defect = False
        try:
            await self._work(run)
        except* LeaseLost as lost:
            self._log.warning("run lost", reason=str(lost.exceptions[0]))
        except* Exception:  # noqa: BLE001 - likewise
            self._log.exception("run failed by a defect")
            defect = True
        if defect:
            await self._fail()
            return "INTERNAL"
        phase = None if self._run is None else self._run.phase
        return phase.failure.reason if isinstance(phase, Ended) and phase.failure else ""

    async def _work(self, run: Run) -> None:
        async with asyncio.TaskGroup() as tasks:
            if run.fence != self._journal.lease.fence:  # else it was begun as it was created
                run = await self._begin(run)
            while not self.ended:
                self._execute(plan.decide(run), run, tasks)
                if self._draining and not self._in_hand():
                    break
                await self._wake.wait()
                self._wake.clear()
                if self._cancel_reason is not None and plan.cancelled(run, self._cancel_reason):
                    await self._stop_work()
                run = await self._record(run, self._take_outcomes(run))
            await self._stop_work()

    async def _begin(self, run: Run) -> Run:
        history = await self._performer.conversation.history(run)
        self._history = history.messages
        started = RunStarted(
            owner=self._owner.name,
            attempt=run.attempt + 1,
            session_seq=run.session_seq if run.attempt else history.last_seq,
            owner_lost=self._owner_lost(run),
            fence=self._journal.lease.fence,
        )
        events = [Event(run_started=started)]
        if self._claimed.HasField("resumed"):
            events.append(Event(run_resumed=self._claimed.resumed))
        return await self._record(run, events)

    def _execute(self, decided: Sequence[Command], run: Run, tasks: asyncio.TaskGroup) -> None:
        """Make what is in execution agree with what is decided."""
        if self._is_stopping:
            decided = [command for command in decided if self._may_run_on(command)]
        for command in self._in_flight.keys() - set(decided):
            self._in_flight.pop(command).cancel()
        for command in decided:
            if command not in self._in_flight:
                self._in_flight[command] = self._start(command, run, tasks)

    def _start(
        self, command: Command, run: Run, tasks: asyncio.TaskGroup
    ) -> asyncio.Task[None] | asyncio.TimerHandle:
        if not isinstance(command, AwaitDeadline):
            return tasks.create_task(self._perform(command, run))
        left_s = max(0.0, command.at_s - self._journal.now())
        return asyncio.get_running_loop().call_later(
            left_s, self._take_in, command, plan.deadline_reached()
        )

    @property
    def _is_stopping(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._draining or self._pause_reason is not None

    def _may_run_on(self, command: Command) -> bool:
        """While stopping: what is in hand and will end by itself, and what ends the run."""
        if isinstance(command, SaveSession | AwaitDeadline):
            return True
        return command in self._in_flight and not isinstance(command, Sleep)

    def _in_hand(self) -> bool:
        """Whether something was begun at a peer whose outcome is to be journalled."""
        return any(not isinstance(c, Sleep | AwaitDeadline) for c in self._in_flight)

    async def _perform(self, command: Work, run: Run) -> None:
        event = await self._performer.perform(command, run, self._history, self._journal)
        self._take_in(command, event)

    def _take_in(self, command: Command, event: Event) -> None:
        self._outcomes.append((command, event))
        self._wake.set()

    async def _stop_work(self) -> None:
        begun = list(self._in_flight.values())
        self._in_flight.clear()
        for each in begun:
            each.cancel()
        if tasks := [each for each in begun if isinstance(each, asyncio.Task)]:
            await asyncio.wait(tasks)

    def _take_outcomes(self, run: Run) -> list[Event]:
        """Return outcomes to journal; one that came too late to count is dropped."""
        events: list[Event] = []
        size = 0
        while self._outcomes and size < _BATCH_BYTES:
            command, event = self._outcomes.popleft()
            self._in_flight.pop(command, None)
            run = _evolved(run, events[-1:])
            if command in plan.decide(run):
                events.append(event)
                size += event.ByteSize()
        if self._outcomes:
            self._wake.set()
        return events

    async def _record(self, run: Run, outcomes: Sequence[Event]) -> Run:
        """Journal outcomes and what follows from them, in one append; return the run after it."""
        following, after = self._followed(_evolved(run, outcomes))
        if not outcomes and not following:
            return run
        status = plan.status(after)
        recorded = await self._journal.append((*outcomes, *following), status)
        if self._meter is not None:
            self._meter.recorded(recorded)
        if outcomes and not outcomes[0].HasField("run_started"):
            self._owner.trials.over(self._wake)
        run = self._run = _evolved(run, recorded)
        self.ended = run.ended or run.paused
        return run

    def _followed(self, run: Run) -> tuple[Sequence[Event], Run]:
        """Return what follows from what is known and what callers ask for, and the run after it."""
        if self._cancel_reason is not None and (end := plan.cancelled(run, self._cancel_reason)):
            return (end,), plan.evolve(run, end)
        following, run = plan.followed(run, may_start=not self._is_stopping)
        if self._pause_reason is None or self._in_hand():
            return following, run
        pause = plan.paused(run, self._pause_reason)
        return (following, run) if pause is None else ((*following, pause), plan.evolve(run, pause))

    async def _fail(self) -> None:
        """Close the journal of a run that a defect ended; it must not end in silence."""
        failure = Failure(
            reason="INTERNAL", message="an internal error; the log has it under the run's id"
        )
        status = RunStatus() if self._run is None else plan.status(self._run)
        status.state = RunStatus.STATE_FAILED
        status.failure.CopyFrom(failure)
        event = Event(run_failed=RunFailed(failure=failure, usage=status.usage))
        try:
            recorded = await self._journal.append([event], status)
            self.ended = True
            if self._meter is not None:
                self._meter.recorded(recorded)
        except LeaseLost as lost:
            self._log.warning("run lost", reason=lost.reason)
        except Exception:  # noqa: BLE001 - likewise
            # Its lease runs out, and the store counts that against the run.
            self._log.exception("run cannot be closed")


def _evolved(run: Run, events: Sequence[Event]) -> Run:
    for event in events:
        run = plan.evolve(run, event)
    return run
