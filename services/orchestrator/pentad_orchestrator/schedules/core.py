"""What callers may ask of schedules. Each change is one comparison and swap of a record."""

from collections.abc import Callable
from dataclasses import dataclass

from pentad.orchestrator.v1.schedule_record_pb2 import RecordedFiring, ScheduleRecord
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_chassis.clock import Clock
from pentad_chassis.errors import BY_CODE, Aborted, Code
from pentad_orchestrator.creation import Creation
from pentad_orchestrator.errors import (
    RequestIdReused,
    ScheduleAlreadyExists,
    ScheduleInvalid,
    ScheduleNotFound,
    VersionMismatch,
)
from pentad_orchestrator.schedules import plan
from pentad_orchestrator.schedules.backfills import Range, add_backfill
from pentad_orchestrator.schedules.firing import Firings
from pentad_orchestrator.schedules.record import (
    asked,
    batch_of,
    fingerprint,
    firings_of,
    log,
    next_times,
)
from pentad_orchestrator.schedules.store import ScheduleStore, Stored
from pentad_orchestrator.schedules.timing import Times, TimingInvalid, times_of

_TRIES_MAX = 20
"""Of one change; a schedule of a run a second is changed a few times a second."""

_TIMES_SHOWN = 5
_PAGE, _PAGE_MAX = 50, 100
_MS = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Some schedules, by name."""

    schedules: list[Schedule]
    next_page_token: str


class ScheduleCore:
    """Schedules of tenants."""

    def __init__(
        self, store: ScheduleStore, firings: Firings, creation: Creation, clock: Clock
    ) -> None:
        self._store = store
        self._firings = firings
        self._creation = creation
        self._clock = clock

    async def create(self, tenant: str, schedule: Schedule, request_id: str) -> Schedule:
        """Record a schedule, whose times count from then on."""
        wanted = asked(schedule)
        await self._check(tenant, wanted)
        record = ScheduleRecord(
            schedule=wanted, request_id=request_id, fingerprint=fingerprint(wanted)
        )
        # So that one of the same name, if this one is deleted, is never taken for this one.
        record.schedule.generation = int(self._clock.now() * _MS)
        async with self._store.mending(tenant, wanted.name):
            try:
                stored = await self._store.save(None, tenant, record)
            except Aborted:
                stored = await self._created_before(tenant, record)
            await self._call_up(stored)
        return _seen(stored)

    async def update(self, tenant: str, schedule: Schedule, expected: int) -> Schedule:
        """Put another definition in the place of a schedule's."""
        before = await self._load(tenant, schedule.name)
        wanted = asked(schedule)
        wanted.paused = before.record.schedule.paused
        if wanted == asked(before.record.schedule):
            return _seen(before)
        await self._check(tenant, wanted)

        def replace(record: ScheduleRecord) -> None:
            now = record.schedule
            if expected not in {0, now.generation}:
                raise VersionMismatch(now.name, expected, now.generation)
            after = asked(schedule)
            after.paused, after.started_runs = now.paused, now.started_runs
            after.generation = now.generation + 1
            if _timing(after) != _timing(now):
                record.ClearField("passed_time")  # the new times count from now on
            now.CopyFrom(after)

        async with self._store.mending(tenant, wanted.name):
            stored = await self._change(tenant, wanted.name, replace, settled=True)
            await self._call_up(stored)
        return _seen(stored)

    async def get(self, tenant: str, name: str) -> Schedule:
        """Return a schedule."""
        return _seen(await self._load(tenant, name))

    async def list_page(self, tenant: str, size: int, token: str) -> Page:
        """Return a page of schedules, each with its next time."""
        found, following = await self._store.list_page(tenant, min(size or _PAGE, _PAGE_MAX), token)
        return Page([_seen(stored, shown=1) for stored in found], following)

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a schedule."""
        await self._store.delete(tenant, name)

    async def pause(self, tenant: str, name: str) -> Schedule:
        """Let times pass without runs."""

        def pause(record: ScheduleRecord) -> None:
            record.schedule.paused = True

        return _seen(await self._change(tenant, name, pause))

    async def resume(self, tenant: str, name: str) -> Schedule:
        """Let times start runs again, from now on."""

        def resume(record: ScheduleRecord) -> None:
            if record.schedule.paused:
                record.schedule.paused = False
                record.ClearField("passed_time")

        await self._load(tenant, name)
        async with self._store.mending(tenant, name):
            stored = await self._change(tenant, name, resume)
            await self._call_up(stored)
        return _seen(stored)

    async def trigger(self, tenant: str, name: str, request_id: str) -> str:
        """Start a run now; return its id."""
        batch = batch_of(request_id)
        before = await self._load(tenant, name)
        await self._creation.pin(tenant, before.record.schedule.spec, request_id, "")

        def trigger(record: ScheduleRecord) -> None:
            if _firing(record, batch) is None:
                firing = Firing(cause=Firing.CAUSE_TRIGGER, outcome=Firing.OUTCOME_STARTING)
                log(record, RecordedFiring(firing=firing, batch=batch))

        async with self._store.mending(tenant, name):
            stored = await self._change(tenant, name, trigger)
            stored = await self._settled(stored)
        found = _firing(stored.record, batch)
        assert found is not None, "what was decided is not forgotten while it is starting"
        if found.firing.outcome == Firing.OUTCOME_FAILED:
            error = BY_CODE[Code(found.code)](found.firing.message)
            error.reason = found.firing.reason
            raise error
        return found.firing.run_id

    async def backfill(self, tenant: str, name: str, asked_for: Range, request_id: str) -> int:
        """Have runs started for times of the past; return how many."""
        batch = batch_of(request_id)
        await self._load(tenant, name)

        def add(record: ScheduleRecord) -> None:
            add_backfill(record, times_of(record.schedule), batch, asked_for)

        async with self._store.mending(tenant, name):
            stored = await self._change(tenant, name, add)
            await self._store.call_up(tenant, name, None)
        return next(each.times for each in stored.record.backfills if each.batch == batch)

    async def firings(self, tenant: str, name: str) -> list[Firing]:
        """Return what became of a schedule's times, latest first."""
        return firings_of((await self._load(tenant, name)).record)

    async def _check(self, tenant: str, schedule: Schedule) -> None:
        """Refuse what could never start a run."""
        try:
            times = times_of(schedule)
        except TimingInvalid as invalid:
            raise ScheduleInvalid(f"schedule.{invalid.field}", str(invalid)) from None
        _require_time(schedule, times, int(self._clock.now() * _MS))
        await self._creation.pin(tenant, schedule.spec, "schedule", "")

    async def _load(self, tenant: str, name: str) -> Stored:
        stored = await self._store.load(tenant, name)
        if stored is None:
            raise ScheduleNotFound(name)
        return stored

    async def _created_before(self, tenant: str, wanted: ScheduleRecord) -> Stored:
        found = await self._load(tenant, wanted.schedule.name)
        if found.record.request_id != wanted.request_id:
            raise ScheduleAlreadyExists(wanted.schedule.name)
        if found.record.fingerprint != wanted.fingerprint:
            raise RequestIdReused(wanted.request_id)
        return found

    async def _change(
        self,
        tenant: str,
        name: str,
        change: Callable[[ScheduleRecord], None],
        *,
        settled: bool = False,
    ) -> Stored:
        """Change a schedule's record, however often others do; `settled`, with no run to create."""
        for _ in range(_TRIES_MAX):
            stored = await self._load(tenant, name)
            record = ScheduleRecord()
            try:
                if settled:
                    stored = await self._firings.settle(stored)
                record.CopyFrom(stored.record)
                change(record)
                if record == stored.record:
                    return stored
                return await self._store.save(stored, tenant, record)
            except VersionMismatch:
                raise
            except Aborted:
                continue
        raise VersionMismatch(name)

    async def _settled(self, stored: Stored) -> Stored:
        """Return a schedule none of whose runs is still to be created."""
        for _ in range(_TRIES_MAX):
            try:
                return await self._firings.settle(stored)
            except Aborted:
                stored = await self._load(stored.tenant, stored.name)
        raise VersionMismatch(stored.name)

    async def _call_up(self, stored: Stored) -> None:
        """Have the schedule looked at when it is due next, if ever."""
        now_ms = stored.update_time.ToMilliseconds()
        due_ms = plan.due_ms(stored.record, times_of(stored.record.schedule), now_ms)
        if due_ms is not None:
            await self._store.call_up(stored.tenant, stored.name, due_ms)


def _seen(stored: Stored, shown: int = _TIMES_SHOWN) -> Schedule:
    """Return a schedule as callers see it."""
    schedule = Schedule()
    schedule.CopyFrom(stored.record.schedule)
    schedule.create_time.CopyFrom(stored.create_time)
    schedule.update_time.CopyFrom(stored.update_time)
    schedule.next_times.extend(next_times(stored.record, times_of(schedule), shown))
    return schedule


def _timing(schedule: Schedule) -> tuple[object, ...]:
    """Return the part of a schedule that says when."""
    return (schedule.cron, schedule.interval, schedule.time_zone, schedule.start_time)


def _firing(record: ScheduleRecord, batch: str) -> RecordedFiring | None:
    return next((each for each in record.firings if each.batch == batch), None)


def _require_time(schedule: Schedule, times: Times, now_ms: int) -> None:
    if times.after(now_ms) is not None:
        return
    if schedule.HasField("end_time") and times.timing.after(now_ms) is not None:
        raise ScheduleInvalid("schedule.end_time", "must leave the schedule a time to come")
    raise ScheduleInvalid(
        "schedule.cron", "must come to pass within 50 years; this date does not exist"
    )
