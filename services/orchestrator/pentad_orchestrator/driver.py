"""The shell around the plan: drives one run for as long as it is ours."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pentad.state.v1.event_pb2 import Event, RunFailed, RunStarted
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Failure, RunStatus
from pentad.state.v1.run_service_pb2 import ClaimedRun, RunSignals
from pentad_chassis.telemetry import Telemetry, fail
from pentad_orchestrator import approvals, outbox, outside, plan
from pentad_orchestrator.commands import (
    AwaitDeadline,
    AwaitTimer,
    Command,
    SaveSession,
    Sleep,
    Work,
)
from pentad_orchestrator.fold import evolved, opened
from pentad_orchestrator.inbox import Inbox
from pentad_orchestrator.inflight import Handle, InFlight
from pentad_orchestrator.journal import Beside, Journal, LeaseLost, SignalUnheard
from pentad_orchestrator.letting_go import Parking
from pentad_orchestrator.lineage import attributes_of, lineage_of, name_of
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
        self._cancel_reason = claimed.cancel_reason if claimed.cancel_requested else None
        self._pause_reason = claimed.pause_reason if claimed.pause_requested else None
        self._draining = False
        self._wake = asyncio.Event()
        self._in_flight = InFlight(self._wake)
        self._inbox = Inbox()
        self._parking = Parking(self._wake)
        self._is_behind = False
        """The store refused an append for what the run was told and has not heard yet."""
        self.ended = False
        """The journal is closed, or the run is paused or waits: there is no lease to give back."""

    async def drive(self) -> None:
        """Work on the run until it has ended, rests, waits or is lost, or is idle after `drain`."""
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
            self._run = opened(self._claimed.events)
            await self._fail()
            return
        if self._claimed.HasField("signals"):
            self._inbox.put(self._claimed.signals)
        # The run holds what is needed of them.
        self._claimed.ClearField("events")
        self._claimed.ClearField("signals")
        try:
            if await self._may_begin(run):
                await self._drive(run, journal)
        finally:
            self._owner.trials.over(self._wake)

    async def _drive(self, run: Run, journal: Sequence[Event]) -> None:
        with (
            self._telemetry.span(
                name_of(run),
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

    def tell(self, signals: RunSignals) -> None:
        """Have the run hear something; what it has heard already is passed over."""
        if self._inbox.put(signals):
            self._is_behind = False
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
            self._look_again(run)
            while not self.ended:
                self._execute(plan.decide(run), run, tasks)
                self._parking.watch(self._may_be_parked(run))
                if self._draining and not self._in_flight.at_peers:
                    break
                await self._wake.wait()
                self._wake.clear()
                if self._ends_now(run):
                    await self._in_flight.stop()
                run = await self._record(run, self._take_news(run))
            self._parking.watch(False)
            await self._in_flight.stop()

    def _ends_now(self, run: Run) -> bool:
        """Whether a cancel leaves nothing to do; a graph has its calls end, and takes back."""
        if self._cancel_reason is None:
            return False
        end = plan.cancelled(run, self._cancel_reason)
        return end is not None and end.HasField("run_cancelled")

    async def _begin(self, run: Run) -> Run:
        asked = [Event(run_resumed=self._claimed.resumed)] * self._claimed.HasField("resumed")
        if outside.is_outside(run) and self._cancel_reason is not None:
            return await self._record(run, asked)  # it ends without having been there
        history = await self._performer.conversation.history(run)
        if isinstance(history, Event):
            return await self._stay_outside(run, asked, history)
        self._history = history.messages
        started = RunStarted(
            owner=self._owner.name,
            attempt=run.attempt + 1,
            session_seq=run.session_seq if outside.has_begun(run) else history.last_seq,
            owner_lost=self._owner_lost(run),
            fence=self._journal.lease.fence,
        )
        events = [Event(run_started=started), *asked]
        told, _ = self._inbox.take(evolved(run, events), _BATCH_BYTES)
        return await self._record(run, (*events, *told))

    async def _stay_outside(self, run: Run, asked: Sequence[Event], instead: Event) -> Run:
        """Let go of a run that may not begin yet; one that was asked to rest does that instead."""
        told, _ = self._inbox.take(evolved(run, asked), _BATCH_BYTES)
        is_to_rest = self._pause_reason is not None and instead.HasField("run_waiting")
        return await self._record(run, (*asked, *told, *(() if is_to_rest else (instead,))))

    def _execute(self, decided: Sequence[Command], run: Run, tasks: asyncio.TaskGroup) -> None:
        """Make what is in execution agree with what is decided."""
        if self._is_stopping:
            decided = [command for command in decided if self._may_run_on(command)]
        if self._is_behind:
            decided = [command for command in decided if not isinstance(command, AwaitTimer)]
        self._in_flight.agree(decided, lambda command: self._start(command, run, tasks))

    def _start(self, command: Command, run: Run, tasks: asyncio.TaskGroup) -> Handle:
        if not isinstance(command, AwaitTimer | AwaitDeadline):
            return tasks.create_task(self._perform(command, run))
        left_s = max(0.0, command.at_s - self._journal.now())
        elapsed = plan.elapsed(run, command)
        return asyncio.get_running_loop().call_later(
            left_s, self._in_flight.ended, command, elapsed
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

    async def _perform(self, command: Work, run: Run) -> None:
        event = await self._performer.perform(command, run, self._history, self._journal)
        self._in_flight.ended(command, event)

    def _take_news(self, run: Run) -> list[Event]:
        """Return what the run was told, and what came of its commands, to be journalled."""
        told, run = self._inbox.take(run, _BATCH_BYTES)
        if told and self._inbox:
            self._wake.set()
        return [*told, *self._in_flight.take(run, _BATCH_BYTES)]

    def _may_be_parked(self, run: Run) -> bool:
        """Whether nothing is left but waiting, so that nobody needs to hold the run."""
        return self._in_flight.idle and not self._is_stopping and plan.waiting(run) is not None

    async def _record(self, run: Run, outcomes: Sequence[Event]) -> Run:
        """Journal outcomes and what follows from them, in one append; return the run after it."""
        following, after = self._followed(evolved(run, outcomes))
        if not outcomes and not following and self._parking.is_due:
            following, after = _let_go(run)
        if not outcomes and not following:
            return run
        try:
            recorded = await self._append(run, (*outcomes, *following), after)
        except SignalUnheard:
            # Somebody decided before an approval was seen to expire: what was told comes soon.
            self._is_behind = True
            return await self._record(run, [e for e in outcomes if not _is_expiry(e)])
        self._parking.watch(False)
        if outcomes and not outcomes[0].HasField("run_started"):
            self._owner.trials.over(self._wake)
        run = self._run = evolved(run, recorded)
        self.ended = run.ended or run.paused or run.parked is not None
        if following:
            self._look_again(run)
        return run

    def _look_again(self, run: Run) -> None:
        """Of what follows in a graph, more may be left than one append holds."""
        if run.is_graph:
            self._wake.set()

    async def _append(self, run: Run, events: Sequence[Event], after: Run) -> Sequence[Event]:
        """Journal events between two states of the run, with all that follows for others."""
        status = plan.status(after)
        heard, asked = self._inbox.heard, approvals.changes(run, events, after)
        jobs = [*outbox.jobs_after(after, status), *outbox.cancels(run, after)]
        beside = Beside(heard, asked, jobs) if heard or asked or jobs else None
        recorded = await self._journal.append(events, status, beside)
        if self._meter is not None:
            self._meter.recorded(recorded)
        return recorded

    def _followed(self, run: Run) -> tuple[Sequence[Event], Run]:
        """Return what follows from what is known and what callers ask for, and the run after it."""
        if self._cancel_reason is not None and (end := plan.cancelled(run, self._cancel_reason)):
            following, run = plan.followed(plan.evolve(run, end), may_start=not self._is_stopping)
            return (end, *following), run
        run = run.having(now_s=max(run.now_s, self._journal.now()))
        following, run = plan.followed(run, may_start=not self._is_stopping)
        if self._pause_reason is None or self._in_flight.at_peers:
            return following, run
        pause = plan.paused(run, self._pause_reason)
        return (following, run) if pause is None else ((*following, pause), plan.evolve(run, pause))

    async def _fail(self) -> None:
        """Close the journal of a run that a defect ended; it must not end in silence."""
        failure = Failure(
            reason="INTERNAL", message="an internal error; the log has it under the run's id"
        )
        run = self._run
        try:
            if run is not None:
                end = plan.failed(run, failure)
                await self._append(run, [end], plan.evolve(run, end))
            else:
                status = RunStatus(state=RunStatus.STATE_FAILED, failure=failure)
                end = Event(run_failed=RunFailed(failure=failure))
                await self._journal.append([end], status)
            self.ended = True
        except LeaseLost as lost:
            self._log.warning("run lost", reason=lost.reason)
        except Exception:  # noqa: BLE001 - likewise
            # Its lease runs out, and the store counts that against the run.
            self._log.exception("run cannot be closed")


def _let_go(run: Run) -> tuple[Sequence[Event], Run]:
    event = plan.waiting(run)
    return ((), run) if event is None else ((event,), plan.evolve(run, event))


def _is_expiry(event: Event) -> bool:
    return event.WhichOneof("kind") == "approval_expired"
