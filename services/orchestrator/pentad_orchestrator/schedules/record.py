"""What is known of a schedule, as it is stored, and what callers see of it."""

from collections.abc import Iterable
from hashlib import blake2b

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.orchestrator.v1.schedule_record_pb2 import RecordedFiring, ScheduleRecord
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_orchestrator.schedules.timing import Times

FIRINGS = 50
"""Firings that are remembered, beside those that are starting."""

_OUTPUTS = ("generation", "create_time", "update_time", "started_runs", "next_times")


def to_time(ms: int) -> Timestamp:
    """Return a time as it is stored."""
    time = Timestamp()
    time.FromMilliseconds(ms)
    return time


def log(record: ScheduleRecord, entry: RecordedFiring) -> None:
    """Remember a firing, and forget old ones; those that are starting are never forgotten."""
    record.firings.append(entry)
    surplus = len(record.firings) - FIRINGS
    ended = [i for i, each in enumerate(record.firings) if not is_starting(each)]
    for i in reversed(ended[: max(surplus, 0)]):
        del record.firings[i]


def is_starting(entry: RecordedFiring) -> bool:
    """Whether a run was decided and is not known to exist."""
    return entry.firing.outcome == Firing.OUTCOME_STARTING


def starting(record: ScheduleRecord) -> list[RecordedFiring]:
    """Return the firings whose runs are to be created, in order."""
    return [each for each in record.firings if is_starting(each)]


def materialise(record: ScheduleRecord, stored_time: Timestamp) -> None:
    """Fill in the times that mean `when this was stored`, by the store's clock."""
    if not record.HasField("passed_time"):
        record.passed_time.CopyFrom(stored_time)
    for each in record.firings:
        if not each.firing.HasField("time"):
            each.firing.time.CopyFrom(stored_time)
            each.firing.decide_time.CopyFrom(stored_time)


def asked(schedule: Schedule) -> Schedule:
    """Return what a caller asked for, without what Pentad sets."""
    bare = Schedule()
    bare.CopyFrom(schedule)
    for field in _OUTPUTS:
        bare.ClearField(field)  # type: ignore[arg-type]
    return bare


def fingerprint(schedule: Schedule) -> bytes:
    """Return a digest of what a caller asks for."""
    return blake2b(schedule.SerializeToString(deterministic=True), digest_size=16).digest()


def batch_of(request_id: str) -> str:
    """Return what tells the firings of a request from others, in few letters."""
    return blake2b(request_id.encode(), digest_size=8).hexdigest()


def next_times(record: ScheduleRecord, times: Times, count: int) -> list[Timestamp]:
    """Return the times that come next, as far as they can start runs."""
    schedule = record.schedule
    if schedule.paused:
        return []
    if schedule.max_runs:
        begun = schedule.started_runs + len(record.waiting)
        count = min(count, max(0, schedule.max_runs - begun))
    found: list[Timestamp] = []
    ms = times.after(record.passed_time.ToMilliseconds())
    while ms is not None and len(found) < count:
        found.append(to_time(ms))
        ms = times.after(ms)
    return found


def firings_of(record: ScheduleRecord) -> list[Firing]:
    """Return what became of a schedule's times, latest first, and before them those that wait."""
    waiting: Iterable[Firing] = (
        Firing(time=time, cause=Firing.CAUSE_TIME, outcome=Firing.OUTCOME_WAITING)
        for time in reversed(record.waiting)
    )
    return [*waiting, *(each.firing for each in reversed(record.firings))]
