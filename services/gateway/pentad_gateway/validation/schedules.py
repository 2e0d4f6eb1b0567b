"""Requests about schedules. What a cron expression means is the orchestrator's to say."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pentad.gateway.v1.schedule_service_pb2 import (
    BackfillScheduleRequest,
    CreateScheduleRequest,
    DeleteScheduleRequest,
    GetScheduleRequest,
    ListScheduleFiringsRequest,
    ListSchedulesRequest,
    PauseScheduleRequest,
    ResumeScheduleRequest,
    TriggerScheduleRequest,
    UpdateScheduleRequest,
)
from pentad.state.v1.schedule_pb2 import Interval, Schedule
from pentad_chassis.errors import FieldViolation
from pentad_gateway.validation.bounds import AGENT_NAME, KIB, PAGE_TOKEN_BYTES, Bounds
from pentad_gateway.validation.runs import PRIORITY, check_spec

SCHEDULE_NAME = AGENT_NAME
SCHEDULE_BYTES = 128 * KIB
CRON_BYTES = 256
ZONE_BYTES = 64
QUEUE = 100
PAGE_SIZE = 100
YEAR_S = 365 * 86_400
CATCH_UP_S = 10
JITTER_S = 3600

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
_YEAR_2200_S = 7_258_118_400
_NANOS_PER_MS = 1_000_000


def create_schedule(request: CreateScheduleRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    _schedule(bounds, request)
    bounds.request_id(request.request_id)
    return bounds.violations


def update_schedule(request: UpdateScheduleRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    _schedule(bounds, request)
    bounds.within("expected_generation", request.expected_generation, _INT64_MAX)
    return bounds.violations


def name_schedule(
    request: GetScheduleRequest
    | DeleteScheduleRequest
    | PauseScheduleRequest
    | ResumeScheduleRequest
    | ListScheduleFiringsRequest,
) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, SCHEDULE_NAME)
    return bounds.violations


def list_schedules(request: ListSchedulesRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.within("page_size", request.page_size, PAGE_SIZE)
    bounds.text("page_token", request.page_token, PAGE_TOKEN_BYTES)
    return bounds.violations


def trigger_schedule(request: TriggerScheduleRequest) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, SCHEDULE_NAME)
    bounds.request_id(request.request_id)
    return bounds.violations


def backfill_schedule(request: BackfillScheduleRequest, now_s: float) -> list[FieldViolation]:
    """Return what is wrong with the request."""
    bounds = Bounds()
    bounds.name("name", request.name, SCHEDULE_NAME)
    bounds.request_id(request.request_id)
    for field in ("from_time", "to_time"):
        if request.HasField(field):
            _time(bounds, field, getattr(request, field), now_s, "in the past")
        else:
            bounds.broken(field, "must be set")
    if not bounds.violations and _is_later(request.from_time, request.to_time):
        bounds.broken("to_time", "must not be before `from_time`")
    return bounds.violations


def _schedule(bounds: Bounds, request: CreateScheduleRequest | UpdateScheduleRequest) -> None:
    if not request.HasField("schedule"):
        bounds.broken("schedule", "must be set")
        return
    schedule = request.schedule
    if not bounds.whole("schedule", schedule, SCHEDULE_BYTES):
        return
    bounds.name("schedule.name", schedule.name, SCHEDULE_NAME)
    _timing(bounds, schedule)
    _spec(bounds, schedule)
    if schedule.overlap not in Schedule.Overlap.values():
        bounds.broken("schedule.overlap", "must be one of Overlap's values")
    bounds.within("schedule.queue_limit", schedule.queue_limit, QUEUE)
    if schedule.HasField("catch_up"):
        bounds.duration("schedule.catch_up", schedule.catch_up, YEAR_S, CATCH_UP_S)
    bounds.duration("schedule.jitter", schedule.jitter, JITTER_S)
    bounds.within("schedule.max_runs", schedule.max_runs, _INT32_MAX)


def _timing(bounds: Bounds, schedule: Schedule) -> None:
    match schedule.WhichOneof("timing"):
        case "cron":
            bounds.filled("schedule.cron", schedule.cron, CRON_BYTES)
        case "interval":
            _interval(bounds, schedule.interval)
        case _:
            bounds.broken("schedule.cron", "must be set, or `interval`")
    bounds.text("schedule.time_zone", schedule.time_zone, ZONE_BYTES)
    known = len(bounds.violations)
    for field in ("start_time", "end_time"):
        if schedule.HasField(field):
            at = f"schedule.{field}"
            _time(bounds, at, getattr(schedule, field), _YEAR_2200_S, "before the year 2200")
    both = schedule.HasField("start_time") and schedule.HasField("end_time")
    if (
        both
        and len(bounds.violations) == known
        and _is_later(schedule.start_time, schedule.end_time)
    ):
        bounds.broken("schedule.end_time", "must not be before `start_time`")


def _interval(bounds: Bounds, interval: Interval) -> None:
    known = len(bounds.violations)
    bounds.duration("schedule.interval.every", interval.every, YEAR_S, 1)
    bounds.duration("schedule.interval.phase", interval.phase, YEAR_S)
    if len(bounds.violations) > known:
        return
    if not _is_whole(interval.every) or not _is_whole(interval.phase):
        bounds.broken("schedule.interval.every", "must be whole milliseconds, as must `phase`")
    elif interval.phase.ToMilliseconds() >= interval.every.ToMilliseconds():
        bounds.broken("schedule.interval.phase", "must be less than `every`")


def _spec(bounds: Bounds, schedule: Schedule) -> None:
    inner = Bounds()
    check_spec(inner, schedule.spec)
    inner.within("spec.priority", schedule.spec.priority, PRIORITY, -PRIORITY)
    if schedule.spec.HasField("start_time"):
        inner.broken("spec.start_time", "must be unset: runs start at the schedule's times")
    for violation in inner.violations:
        bounds.broken(f"schedule.{violation.field}", violation.description)


def _time(bounds: Bounds, field: str, value: Timestamp, latest_s: float, described: str) -> None:
    if value.seconds < 0:
        bounds.broken(field, "must not be before 1970")
    else:
        bounds.time(field, value, latest_s, described)


def _is_whole(value: Duration) -> bool:
    return value.nanos % _NANOS_PER_MS == 0


def _is_later(first: Timestamp, second: Timestamp) -> bool:
    return (first.seconds, first.nanos) > (second.seconds, second.nanos)
