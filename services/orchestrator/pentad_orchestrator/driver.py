"""The shell around the plan: drives one run for as long as it is ours."""

import asyncio
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b

from pentad.state.v1.event_pb2 import Event, RunFailed, RunStarted
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Failure, RunStatus
from pentad.state.v1.run_service_pb2 import ClaimedRun, Lease
from pentad_chassis import semconv
from pentad_chassis.telemetry import Lineage, Telemetry, fail
from pentad_orchestrator import plan
from pentad_orchestrator.commands import AwaitDeadline, Command, SaveSession, Sleep
from pentad_orchestrator.journal import Journal, LeaseLost
from pentad_orchestrator.metrics import RunMeter, RunMetrics
from pentad_orchestrator.performer import Performer
from pentad_orchestrator.run import Ended, Run

_BATCH_BYTES = 256 * 1024
"""Outcomes that wait are journalled together up to this; an append holds at most 1 MiB."""


class Driver:
    """Executes what the plan decides and journals how it went, until the run ends or is lost."""

    def __init__(
        self,
        claimed: ClaimedRun,
        owner: str,
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
        self._in_flight: dict[Command, asyncio.Task[None]] = {}
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
        with (
            self._telemetry.span(
                f"{semconv.OPERATION_INVOKE_AGENT} {run.agent.name}",
                attributes=_attributes(run),
                traceparent=run.created.traceparent,
                lineage=_lineage(self._journal.lease),
            ) as span,
            self._metrics.working(run, journal) as self._meter,
        ):
            failure = await self._work_or_fail(run)
            if failure:
                fail(span, failure)

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
            owner=self._owner,
            attempt=run.attempt + 1,
            session_seq=run.session_seq if run.attempt else history.last_seq,
            owner_lost=self._claimed.owner_lost,
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
                self._in_flight[command] = tasks.create_task(self._perform(command, run))

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

    async def _perform(self, command: Command, run: Run) -> None:
        event = await self._performer.perform(command, run, self._history, self._journal)
        self._outcomes.append((command, event))
        self._wake.set()

    async def _stop_work(self) -> None:
        tasks = list(self._in_flight.values())
        self._in_flight.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _take_outcomes(self, run: Run) -> list[Event]:
        """Return outcomes to journal; one that came too late to count is dropped."""
        events: list[Event] = []
        size = 0
        while self._outcomes and size < _BATCH_BYTES:
            command, event = self._outcomes.popleft()
            self._in_flight.pop(command, None)
            if command in plan.decide(run):
                run = plan.evolve(run, event)
                events.append(event)
                size += event.ByteSize()
        if self._outcomes:
            self._wake.set()
        return events

    async def _record(self, run: Run, outcomes: Sequence[Event]) -> Run:
        """Journal outcomes and what follows from them, in one append; return the run after it."""
        following = self._following(_evolved(run, outcomes))
        if not outcomes and not following:
            return run
        status = plan.status(_evolved(run, (*outcomes, *following)))
        recorded = await self._journal.append((*outcomes, *following), status)
        if self._meter is not None:
            self._meter.recorded(recorded)
        run = self._run = _evolved(run, recorded)
        self.ended = run.ended or run.paused
        return run

    def _following(self, after: Run) -> Sequence[Event]:
        """Return what follows from what is known, and from what callers ask for."""
        if self._cancel_reason is not None and (end := plan.cancelled(after, self._cancel_reason)):
            return (end,)
        following = plan.follow_up(after, may_start=not self._is_stopping)
        if self._pause_reason is None or self._in_hand():
            return following
        pause = plan.paused(_evolved(after, following), self._pause_reason)
        return following if pause is None else (*following, pause)

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


def _lineage(lease: Lease) -> Lineage:
    """Link an owner's span to that of the owner before: each claim raises the fence by one."""
    before = _span_id(lease.run_id, lease.fence - 1) if lease.fence > 1 else 0
    return Lineage(_span_id(lease.run_id, lease.fence), before)


def _span_id(run_id: str, fence: int) -> int:
    digest = blake2b(f"{run_id}/{fence}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _attributes(run: Run) -> dict[str, str | int]:
    provider, _, model = run.agent.model.partition(":")
    attributes: dict[str, str | int] = {
        semconv.GEN_AI_OPERATION_NAME: semconv.OPERATION_INVOKE_AGENT,
        semconv.GEN_AI_PROVIDER_NAME: provider,
        semconv.GEN_AI_REQUEST_MODEL: model,
        semconv.GEN_AI_AGENT_NAME: run.agent.name,
        semconv.GEN_AI_AGENT_VERSION: str(run.agent.revision),
        semconv.GEN_AI_CONVERSATION_ID: run.created.spec.session_id,
        semconv.PENTAD_RUN_ID: run.run_id,
        semconv.PENTAD_RUN_ATTEMPT: run.attempt + 1,
        semconv.PENTAD_TENANT: run.created.tenant,
    }
    return {name: value for name, value in attributes.items() if value != ""}
