"""The times of a schedule: pure arithmetic, in milliseconds since 1970."""

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from pentad.state.v1.schedule_pb2 import Schedule

_FOR_EVER_MS = 2**62


class TimingInvalid(ValueError):
    """A schedule's times make no sense; `field` is at fault, the message says what would do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Cron:
    """Times by a cron expression, read in a zone."""

    expression: str
    zone: ZoneInfo

    def after(self, ms: int) -> int | None:
        """Return the first time later than `ms`; None if there is none within 50 years."""
        begin = datetime.fromtimestamp(ms // 1000, UTC).astimezone(self.zone)
        # In the hour that comes twice, the first times found may be those of its first coming.
        for found in CronSim(self.expression, begin):
            found_ms = int(found.timestamp()) * 1000
            if found_ms > ms:
                return found_ms
        return None


@dataclass(frozen=True, slots=True)
class Every:
    """Times at a constant distance."""

    every_ms: int
    phase_ms: int

    def after(self, ms: int) -> int | None:
        """Return the first time later than `ms`."""
        return (ms - self.phase_ms) // self.every_ms * self.every_ms + self.every_ms + self.phase_ms


@dataclass(frozen=True, slots=True)
class Times:
    """All times of one schedule, and when its runs start."""

    timing: Cron | Every
    first_ms: int
    last_ms: int
    jitter_ms: int
    seed: str

    def after(self, ms: int) -> int | None:
        """Return the first time later than `ms`; None if there is none."""
        found = self.timing.after(max(ms, self.first_ms - 1))
        return None if found is None or found > self.last_ms else found

    def starts_at(self, ms: int) -> int:
        """Return when the run of a time starts: the same for everybody who asks."""
        if not self.jitter_ms:
            return ms
        digest = blake2b(f"{self.seed}/{ms}".encode(), digest_size=8).digest()
        return ms + int.from_bytes(digest, "big") % (self.jitter_ms + 1)


def times_of(schedule: Schedule) -> Times:
    """Return the times of a schedule, or raise TimingInvalid."""
    return Times(
        _timing(schedule),
        schedule.start_time.ToMilliseconds() if schedule.HasField("start_time") else -_FOR_EVER_MS,
        schedule.end_time.ToMilliseconds() if schedule.HasField("end_time") else _FOR_EVER_MS,
        schedule.jitter.ToMilliseconds(),
        schedule.name,
    )


def zone_of(schedule: Schedule) -> ZoneInfo:
    """Return the zone that a schedule names, or raise TimingInvalid."""
    name = schedule.time_zone or "UTC"
    # Only names of the database: anything else would be a path of this machine.
    if name not in _zones():
        near = difflib.get_close_matches(name, _zones(), n=1)
        hint = near[0] if near else "Europe/Berlin"
        raise TimingInvalid("time_zone", f"must be the IANA name of a time zone, such as {hint}")
    return ZoneInfo(name)


def _timing(schedule: Schedule) -> Cron | Every:
    zone = zone_of(schedule)
    match schedule.WhichOneof("timing"):
        case "cron":
            try:
                CronSim(schedule.cron, datetime.fromtimestamp(0, UTC))
            except CronSimError as error:
                raise TimingInvalid("cron", _right(str(error))) from None
            return Cron(schedule.cron, zone)
        case "interval":
            every = Every(
                schedule.interval.every.ToMilliseconds(), schedule.interval.phase.ToMilliseconds()
            )
            if every.every_ms <= 0:
                raise TimingInvalid("interval.every", "must be at least 1 second")
            return every
        case _:
            raise TimingInvalid("cron", "must be set, or `interval`")


def _right(wrong: str) -> str:
    example = "such as `30 8 * * MON-FRI`"
    if wrong.startswith("Bad "):
        return f"must have a valid {wrong.removeprefix('Bad ')}, {example}"
    return f"must be five fields, or six with seconds first, {example}"


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
