"""Schedules over a store in memory, whose clock the test moves and whose calls may be cut short."""

from collections.abc import Callable
from typing import Any

from google.protobuf.json_format import ParseDict
from harness.fakes import direct, fault
from simulation.jobs import Jobs

from pentad.state.v1 import entry_service_pb2 as entries_pb
from pentad.state.v1.entry_service_pb2_grpc import EntryServiceServicer
from pentad.state.v1.job_pb2 import Queue
from pentad.state.v1.job_service_pb2 import (
    ClaimedJob,
    ClaimJobsRequest,
    CompleteJobRequest,
    PostponeJobRequest,
)
from pentad.state.v1.run_pb2 import Run, RunSpec
from pentad.state.v1.run_service_pb2 import (
    GetRunRequest,
    GetRunResponse,
    RequestCancelRequest,
    RequestCancelResponse,
)
from pentad.state.v1.run_service_pb2_grpc import RunServiceServicer
from pentad.state.v1.schedule_pb2 import Firing, Schedule
from pentad_chassis.clock import FakeClock
from pentad_chassis.errors import Aborted, NotFound
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator.errors import AgentNotFound
from pentad_orchestrator.schedules.core import ScheduleCore
from pentad_orchestrator.schedules.firing import Firings
from pentad_orchestrator.schedules.record import to_time
from pentad_orchestrator.schedules.store import ScheduleStore

TENANT = "acme"
NOON = 1_800_014_400.0
"""2027-01-15T12:00:00Z, a Friday."""

LEASE_S = 10


class Crash(Exception):
    """The process dies here."""


class Entries(EntryServiceServicer):
    """Versioned entries, by the store's clock."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.entries: dict[tuple[str, str], entries_pb.Entry] = {}

    async def GetEntry(
        self, request: entries_pb.GetEntryRequest, context: object
    ) -> entries_pb.GetEntryResponse:
        entry = self.entries.get((request.scope, request.key))
        if entry is None:
            raise fault(NotFound, "ENTRY_NOT_FOUND")
        return entries_pb.GetEntryResponse(entry=entry)

    async def PutEntry(
        self, request: entries_pb.PutEntryRequest, context: object
    ) -> entries_pb.PutEntryResponse:
        before = self.entries.get((request.scope, request.key))
        if request.expected_version != (before.version if before else 0):
            raise fault(Aborted, "VERSION_MISMATCH")
        now = to_time(int(self._clock.now() * 1000))
        entry = entries_pb.Entry(
            key=request.key,
            value=request.value,
            version=request.expected_version + 1,
            create_time=before.create_time if before else now,
            update_time=now,
        )
        self.entries[request.scope, request.key] = entry
        answer = entries_pb.PutEntryResponse(entry=entry)
        answer.entry.ClearField("value")
        return answer

    async def DeleteEntry(
        self, request: entries_pb.DeleteEntryRequest, context: object
    ) -> entries_pb.DeleteEntryResponse:
        self.entries.pop((request.scope, request.key), None)
        return entries_pb.DeleteEntryResponse()

    async def ListEntries(
        self, request: entries_pb.ListEntriesRequest, context: object
    ) -> entries_pb.ListEntriesResponse:
        found = [entry for (scope, _), entry in self.entries.items() if scope == request.scope]
        return entries_pb.ListEntriesResponse(entries=sorted(found, key=lambda entry: entry.key))


class Runs(RunServiceServicer):
    """Runs that last until they are ended."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.runs: dict[str, Run] = {}
        self.asks: list[tuple[str, str]] = []
        """Request id and input, of each run once, in order."""
        self.cancelled: list[str] = []
        self.refuses: Exception | None = None
        self.last_s: float | None = None
        """How long runs take; None for at most no time."""

    async def create(self, tenant: str, spec: RunSpec, request_id: str) -> Run:
        """Have a run accepted, once for each request id."""
        if self.refuses:
            raise self.refuses
        if request_id not in self.runs:
            self.asks.append((request_id, spec.input))
            run = self.runs[request_id] = Run(run_id=request_id, tenant=tenant, spec=spec)
            run.create_time.CopyFrom(to_time(int(self._clock.now() * 1000)))
        assert self.runs[request_id].spec == spec, "a repeat asks for the same"
        return self.runs[request_id]

    def end(self, run_id: str) -> None:
        """Let a run be over."""
        self.runs[run_id].end_time.CopyFrom(to_time(int(self._clock.now() * 1000)))

    async def GetRun(self, request: GetRunRequest, context: object) -> GetRunResponse:
        run = self.runs.get(request.run_id)
        if run is None:
            raise fault(NotFound, "RUN_NOT_FOUND")
        return GetRunResponse(run=run)

    async def RequestCancel(
        self, request: RequestCancelRequest, context: object
    ) -> RequestCancelResponse:
        self.cancelled.append(request.run_id)
        return RequestCancelResponse()


class Agents:
    """What runs depend on: every agent but `nobody`."""

    async def pin(self, tenant: str, spec: RunSpec, request_id: str, traceparent: str) -> None:
        """Find the agent."""
        if spec.agent == "nobody":
            raise AgentNotFound(spec.agent)


class Cuts:
    """Counts the calls of a process, and ends it before or after one of them."""

    def __init__(self) -> None:
        self.at: set[tuple[int, str]] = set()
        self.calls = 0

    def around(self, servicer: object) -> Any:
        """Return a stub of a servicer."""
        return _Cut(direct(servicer), self)

    def meet(self, moment: str) -> None:
        """Die if that is what is to happen now."""
        if (self.calls, moment) in self.at:
            raise Crash


class _Cut:
    def __init__(self, stub: Any, cuts: Cuts) -> None:
        self._stub = stub
        self._cuts = cuts

    def __getattr__(self, method: str) -> Callable[..., Any]:
        async def call(*request: Any, **_: float) -> Any:
            self._cuts.calls += 1
            self._cuts.meet("before")
            answer = await getattr(self._stub, method)(*request)
            self._cuts.meet("after")
            return answer

        return call


class World:
    """A store, and one orchestrator at a time."""

    def __init__(self, now: float = NOON) -> None:
        self.clock = FakeClock(now)
        self.entries = Entries(self.clock)
        self.jobs = Jobs()
        self.jobs._clock = self.clock  # type: ignore[assignment]
        self.runs = Runs(self.clock)
        self.cuts = Cuts()
        self.deaths = 0
        store = ScheduleStore(
            self.cuts.around(self.entries), self.cuts.around(self.jobs), self.clock
        )
        create = _Cut(self.runs, self.cuts).create
        telemetry = silent_telemetry("orchestrator")
        self.firings = Firings(store, self.cuts.around(self.runs), create, telemetry)
        agents: Any = Agents()
        self.core = ScheduleCore(store, self.firings, agents, self.clock)

    async def create(self, schedule: Schedule) -> Schedule:
        """Record a schedule."""
        return await self.core.create(TENANT, schedule, "r1")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and do whatever comes due."""
        until = self.clock.now() + seconds
        while (due := self.due()) is not None and due <= until:
            self.clock.advance(max(0.0, due - self.clock.now()))
            await self.work()
        self.clock.advance(until - self.clock.now())

    def sleep(self, seconds: float) -> None:
        """Let time pass with no orchestrator there."""
        self.clock.advance(seconds)

    def due(self) -> float | None:
        """Return when the next job is due."""
        return min((kept.due_ms / 1000 for kept in self.jobs.kept.values()), default=None)

    async def work(self) -> None:
        """Do one job that is due, as far as the process gets."""
        self._end_runs()
        for claimed in await self.claim():
            try:
                await self._handle(claimed)
            except Crash:
                self.deaths += 1

    async def claim(self) -> list[ClaimedJob]:
        """Claim a job that is due."""
        request = ClaimJobsRequest(queue=Queue.QUEUE_RUNS, owner="o", limit=1)
        request.lease.FromSeconds(LEASE_S)
        found = (await self.jobs.ClaimJobs(request, None)).jobs
        # What a caller is given is its own.
        return [ClaimedJob.FromString(each.SerializeToString()) for each in found]

    async def _handle(self, claimed: ClaimedJob) -> None:
        job = claimed.job
        again = await self.firings.fire(claimed)
        self.cuts.calls += 1
        self.cuts.meet("before")
        if again is None:
            ended = CompleteJobRequest(place=job.place, job_id=job.job_id, fence=claimed.fence)
            await self.jobs.CompleteJob(ended, None)
        else:
            await self.jobs.PostponeJob(
                PostponeJobRequest(job=again, fence=claimed.fence, afresh=True), None
            )

    def _end_runs(self) -> None:
        if self.runs.last_s is None:
            return
        for run in self.runs.runs.values():
            age_s = self.clock.now() - run.create_time.ToMilliseconds() / 1000
            if age_s >= self.runs.last_s and not run.HasField("end_time"):
                self.runs.end(run.run_id)

    @property
    def asked(self) -> list[str]:
        """What runs were asked, in order."""
        return [asked for _, asked in self.runs.asks]

    async def told(self) -> list[tuple[str, str]]:
        """Return what became of times, oldest first: the time of day, and the outcome."""
        firings = await self.core.firings(TENANT, "tick")
        return [(_time_of_day(firing), _outcome(firing)) for firing in reversed(firings)]


def every(seconds: float, **fields: Any) -> Schedule:
    """Return a schedule at a constant distance, whose runs are asked for their time."""
    given = {"name": "tick", "interval": {"every": f"{seconds}s"}, **_SPEC}
    return ParseDict({**given, **fields}, Schedule())


def cron(expression: str, zone: str = "", **fields: Any) -> Schedule:
    """Return a schedule by cron, whose runs are asked for their time."""
    given = {"name": "tick", "cron": expression, "time_zone": zone, **_SPEC}
    return ParseDict({**given, **fields}, Schedule())


_SPEC = {"spec": {"agent": "clock", "input": "{time}"}}


def _time_of_day(firing: Firing) -> str:
    return firing.time.ToDatetime().strftime("%H:%M:%S")


def _outcome(firing: Firing) -> str:
    word = Firing.Outcome.Name(firing.outcome).removeprefix("OUTCOME_").lower()
    return f"{word} {firing.reason}".strip()
