"""What becomes of a schedule's times: pure decisions on its record.

A run is decided first and created after that is stored (`OUTCOME_STARTING`), so that it is created
once whoever dies in between, and a pause or an update is before a firing or after it.
"""

from collections.abc import Callable

from pentad.orchestrator.v1.schedule_record_pb2 import (
    Backfill,
    LatestRun,
    RecordedFiring,
    ScheduleRecord,
)
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_orchestrator.schedules.record import log, starting, to_time
from pentad_orchestrator.schedules.timing import Times

STARTS_MAX = 16
"""Runs that are decided together: bounds the record, and what one death leaves to be done."""

CATCH_UP_MS = 60_000
"""How late a time may start a run when the schedule does not say."""

_STEPS_MAX = 200
_POLL_PART = 10
_POLL_MS, _POLL_MS_MAX = 200, 15_000

_SKIP, _QUEUE, _CANCEL, _ALLOW = (
    Schedule.OVERLAP_SKIP,
    Schedule.OVERLAP_QUEUE,
    Schedule.OVERLAP_CANCEL_RUNNING,
    Schedule.OVERLAP_ALLOW,
)

HasEnded = Callable[[str], bool]
"""Whether the run of an id has ended."""


def decide(record: ScheduleRecord, times: Times, now_ms: int, has_ended: HasEnded) -> None:
    """Decide on all that has come up to now, as far as there is room, and note it in the record."""
    planner = _Planner(record, times, now_ms, has_ended)
    if not record.schedule.paused:
        planner.let_waiting_start()
        planner.pass_times()
    for backfill in record.backfills:
        planner.go_on_with(backfill)


def watched_runs(record: ScheduleRecord) -> set[str]:
    """Return the runs whose end matters now."""
    allows = overlap_of(record.schedule) == _ALLOW
    found = {b.latest.run_id for b in record.backfills if not (b.done or allows)}
    if record.waiting or not allows:
        found.add(record.latest.run_id)
    return found - {""}


def to_cancel(record: ScheduleRecord, has_ended: HasEnded) -> str:
    """Return the run that is in the way of one that waits; nothing where none is to be cancelled.

    It follows from the record, so that a cancel which was cut short is asked for again.
    """
    run_id = record.latest.run_id
    is_wanted = overlap_of(record.schedule) == _CANCEL and bool(record.waiting)
    return run_id if is_wanted and run_id and not has_ended(run_id) else ""


def due_ms(record: ScheduleRecord, times: Times, now_ms: int) -> int | None:
    """Return when there is something to do next; None for never."""
    schedule = record.schedule
    found = [now_ms] if starting(record) else []
    for backfill in record.backfills:
        if not backfill.done:
            at_once = overlap_of(schedule) == _ALLOW
            found.append(now_ms if at_once else _look_again_ms(backfill.latest, now_ms))
    if not schedule.paused:
        if record.waiting:
            found.append(_look_again_ms(record.latest, now_ms))
        if not is_exhausted(record):
            following = times.after(record.passed_time.ToMilliseconds())
            if following is not None:
                found.append(times.starts_at(following))
    return min(found, default=None)


def overlap_of(schedule: Schedule) -> "Schedule.Overlap.ValueType":
    """Return what holds for a schedule."""
    return schedule.overlap or _SKIP


def is_exhausted(record: ScheduleRecord) -> bool:
    """Whether as many of its times have started runs, or will, as may."""
    most = record.schedule.max_runs
    return bool(most) and record.schedule.started_runs + len(record.waiting) >= most


def firing(ms: int, cause: "Firing.Cause.ValueType", batch: str, now_ms: int) -> RecordedFiring:
    """Return a run that is decided and to be created."""
    return RecordedFiring(
        firing=Firing(
            time=to_time(ms),
            cause=cause,
            outcome=Firing.OUTCOME_STARTING,
            decide_time=to_time(now_ms),
        ),
        batch=batch,
    )


def _look_again_ms(latest: LatestRun, now_ms: int) -> int:
    """Look at a run the less often the longer it goes on: its end is seen a tenth later."""
    if not latest.run_id:
        return now_ms
    age_ms = now_ms - latest.decide_time.ToMilliseconds()
    return now_ms + min(max(age_ms // _POLL_PART, _POLL_MS), _POLL_MS_MAX)


class _Planner:
    """Changes a record, at one moment."""

    def __init__(
        self, record: ScheduleRecord, times: Times, now_ms: int, has_ended: HasEnded
    ) -> None:
        self._record = record
        self._times = times
        self._now_ms = now_ms
        self._has_ended = has_ended

    def let_waiting_start(self) -> None:
        """Start the run that has waited longest, once the one before has ended."""
        if self._record.waiting and not self._is_busy() and self._has_room():
            ms = self._record.waiting.pop(0).ToMilliseconds()
            self._start(ms)

    def pass_times(self) -> None:
        """Decide on each time that has come, in order."""
        self._miss()
        for _ in range(_STEPS_MAX):
            ms = self._next()
            if ms is None or not self._has_room() or self._times.starts_at(ms) > self._now_ms:
                return
            self._record.passed_time.CopyFrom(to_time(ms))
            self._come(ms)

    def go_on_with(self, backfill: Backfill) -> None:
        """Start runs of times of the past."""
        at_once = overlap_of(self._record.schedule) == _ALLOW
        while not backfill.done and self._has_room() and (at_once or self._is_free(backfill)):
            ms = self._times.after(backfill.passed_time.ToMilliseconds())
            if ms is None or ms > backfill.end_time.ToMilliseconds():
                backfill.done = True
                return
            backfill.passed_time.CopyFrom(to_time(ms))
            entry = firing(ms, Firing.CAUSE_BACKFILL, backfill.batch, self._now_ms)
            log(self._record, entry)

    def _miss(self) -> None:
        """Pass over what is too late; however many times that are, it is one step."""
        schedule = self._record.schedule
        window_ms = schedule.catch_up.ToMilliseconds() or CATCH_UP_MS
        from_ms = self._now_ms - window_ms - schedule.jitter.ToMilliseconds()
        ms = self._next()
        if ms is None or ms >= from_ms:
            return
        entry = self._skipped(ms, "MISSED", "nobody was there in time")
        entry.firing.until_time.CopyFrom(to_time(from_ms))
        self._record.passed_time.CopyFrom(to_time(from_ms - 1))

    def _come(self, ms: int) -> None:
        record, overlap = self._record, overlap_of(self._record.schedule)
        if overlap == _ALLOW or not (record.waiting or self._is_busy()):
            self._start(ms)
        elif overlap == _QUEUE and len(record.waiting) < (record.schedule.queue_limit or 1):
            record.waiting.append(to_time(ms))
        elif overlap == _QUEUE:
            self._skipped(ms, "QUEUE_FULL", "as many times wait already as may")
        elif overlap == _CANCEL:
            for replaced in record.waiting:
                self._skipped(replaced.ToMilliseconds(), "REPLACED", "a later time has come")
            del record.waiting[:]
            record.waiting.append(to_time(ms))
        else:
            self._skipped(ms, "OVERLAP", "the run before goes on")

    def _start(self, ms: int) -> None:
        self._record.schedule.started_runs += 1
        batch = str(self._record.schedule.generation)
        log(self._record, firing(ms, Firing.CAUSE_TIME, batch, self._now_ms))

    def _skipped(self, ms: int, reason: str, message: str) -> RecordedFiring:
        entry = firing(ms, Firing.CAUSE_TIME, "", self._now_ms)
        entry.firing.outcome = Firing.OUTCOME_SKIPPED
        entry.firing.reason, entry.firing.message = reason, message
        log(self._record, entry)
        return self._record.firings[-1]

    def _next(self) -> int | None:
        if is_exhausted(self._record):
            return None
        return self._times.after(self._record.passed_time.ToMilliseconds())

    def _has_room(self) -> bool:
        return len(starting(self._record)) < STARTS_MAX

    def _is_busy(self) -> bool:
        """Whether the run before goes on, of those that times and callers start."""
        if any(e.firing.cause != Firing.CAUSE_BACKFILL for e in starting(self._record)):
            return True
        run_id = self._record.latest.run_id
        return bool(run_id) and not self._has_ended(run_id)

    def _is_free(self, backfill: Backfill) -> bool:
        if any(e.batch == backfill.batch for e in starting(self._record)):
            return False
        run_id = backfill.latest.run_id
        return not run_id or self._has_ended(run_id)
