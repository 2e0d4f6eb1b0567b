"""Times of the past that are to start runs now."""

from dataclasses import dataclass

from pentad.orchestrator.v1.schedule_record_pb2 import Backfill, ScheduleRecord
from pentad_orchestrator.errors import BackfillsFull, ScheduleInvalid
from pentad_orchestrator.schedules.record import to_time
from pentad_orchestrator.schedules.timing import Times

BACKFILLS = 10
"""At most so many at once; beside them, those that are done are remembered as long as they fit."""

TIMES = 1000
"""At most so many times in one."""


@dataclass(frozen=True, slots=True)
class Range:
    """From one moment to another, both included."""

    from_ms: int
    to_ms: int


def add_backfill(record: ScheduleRecord, times: Times, batch: str, asked: Range) -> None:
    """Note a back-fill that is not there yet, or refuse it."""
    if any(each.batch == batch for each in record.backfills):
        return
    count = _count(times, asked)
    if not count:
        raise ScheduleInvalid("from_time", "must have a time of the schedule behind it")
    if count > TIMES:
        raise ScheduleInvalid("to_time", f"must leave at most {TIMES} times of the schedule")
    if len(record.backfills) >= BACKFILLS:
        done = next((i for i, each in enumerate(record.backfills) if each.done), None)
        if done is None:
            raise BackfillsFull(record.schedule.name, BACKFILLS)
        del record.backfills[done]
    record.backfills.append(
        Backfill(
            batch=batch,
            passed_time=to_time(asked.from_ms - 1),
            end_time=to_time(asked.to_ms),
            times=count,
        )
    )


def _count(times: Times, asked: Range) -> int:
    """Return how many times there are; of more than may be, one more than that."""
    count, ms = 0, times.after(asked.from_ms - 1)
    while ms is not None and ms <= asked.to_ms and count <= TIMES:
        count, ms = count + 1, times.after(ms)
    return count
