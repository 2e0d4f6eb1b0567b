"""Jobs as the state service keeps them, in memory."""

import asyncio
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from pentad.state.v1 import job_service_pb2 as pb
from pentad.state.v1.job_pb2 import Job
from pentad.state.v1.job_service_pb2_grpc import JobServiceServicer
from pentad_chassis.clock import SystemClock


@dataclass(slots=True)
class Kept:
    """A job, who may end it, and when it may be claimed."""

    job: Job
    fence: int
    due_ms: int
    claimed: bool = False
    nudged: bool = False


class Jobs(JobServiceServicer):
    """The job service; whatever stands between two awaits is one atomic step."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Kept] = {}
        """By place and id, which is no less than the store promises."""
        self._clock = SystemClock()
        self._fences = 0
        self._some = asyncio.Event()

    def put(self, job: Job) -> None:
        """Record a job in place of the one of its id, or nudge that one."""
        known = self.kept.get(_name(job))
        if known and job.nudge:
            known.nudged = known.claimed
            if not known.claimed:
                self._record(known.job, due_ms=0)
            return
        made = Job()
        made.CopyFrom(job)
        made.ClearField("nudge")
        made.attempt = 0
        made.create_time.CopyFrom(_time(self._now_ms()))
        self._record(made, made.due_time.ToMilliseconds())

    async def PutJob(self, request: pb.PutJobRequest, context: object) -> pb.PutJobResponse:
        leave = request.only_if_absent and _name(request.job) in self.kept
        if not leave:
            self.put(request.job)
        return pb.PutJobResponse(recorded=not leave)

    async def ClaimJobs(
        self, request: pb.ClaimJobsRequest, context: object
    ) -> pb.ClaimJobsResponse:
        until_s = self._clock.monotonic() + request.wait.ToMilliseconds() / 1000
        while True:
            if claimed := self._claim(request):
                return pb.ClaimJobsResponse(jobs=claimed)
            left_s = until_s - self._clock.monotonic()
            if left_s <= 0:
                return pb.ClaimJobsResponse()
            await self._something(min(left_s, self._quiet_s(request)))

    async def CompleteJob(
        self, request: pb.CompleteJobRequest, context: object
    ) -> pb.CompleteJobResponse:
        name = (request.place, request.job_id)
        if self._is_held(name, request.fence):
            kept = self.kept.pop(name)
            if kept.nudged:
                kept.job.attempt = 0
                self._record(kept.job, due_ms=0)
        return pb.CompleteJobResponse()

    async def PostponeJob(
        self, request: pb.PostponeJobRequest, context: object
    ) -> pb.PostponeJobResponse:
        name = _name(request.job)
        if self._is_held(name, request.fence):
            kept = self.kept[name]
            before = kept.job
            job = Job()
            job.CopyFrom(request.job)
            job.attempt = 0 if request.afresh else before.attempt
            job.create_time.CopyFrom(before.create_time)
            self._record(job, 0 if kept.nudged else job.due_time.ToMilliseconds())
        return pb.PostponeJobResponse()

    async def DeleteJob(
        self, request: pb.DeleteJobRequest, context: object
    ) -> pb.DeleteJobResponse:
        self.kept.pop((request.place, request.job_id), None)
        return pb.DeleteJobResponse()

    def _record(self, job: Job, due_ms: int) -> None:
        self._fences += 1
        self.kept[_name(job)] = Kept(job, self._fences, max(due_ms, self._now_ms()))
        self._some.set()
        self._some = asyncio.Event()

    def _claim(self, request: pb.ClaimJobsRequest) -> list[pb.ClaimedJob]:
        now_ms = self._now_ms()
        due = [
            kept
            for kept in self.kept.values()
            if kept.job.queue == request.queue and kept.due_ms <= now_ms
        ]
        due.sort(key=lambda kept: kept.due_ms)
        claimed = []
        for kept in due[: request.limit]:
            self._fences += 1
            kept.fence, kept.due_ms = self._fences, now_ms + request.lease.ToMilliseconds()
            kept.job.attempt += 1
            kept.claimed, kept.nudged = True, False
            one = pb.ClaimedJob(job=kept.job, fence=kept.fence, claim_time=_time(now_ms))
            if not one.job.HasField("due_time"):
                one.job.due_time.CopyFrom(one.job.create_time)
            claimed.append(one)
        return claimed

    def _quiet_s(self, request: pb.ClaimJobsRequest) -> float:
        """Return until when no job of the queue comes due by itself."""
        dues = [kept.due_ms for kept in self.kept.values() if kept.job.queue == request.queue]
        return max(min(dues, default=self._now_ms() + 60_000) - self._now_ms(), 1) / 1000

    def _is_held(self, name: tuple[str, str], fence: int) -> bool:
        kept = self.kept.get(name)
        return kept is not None and kept.fence == fence

    async def _something(self, most_s: float) -> None:
        try:
            async with asyncio.timeout(most_s):
                await self._some.wait()
        except TimeoutError:
            pass

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _name(job: Job) -> tuple[str, str]:
    return job.place, job.job_id


def _time(ms: int) -> Timestamp:
    time = Timestamp()
    time.FromMilliseconds(ms)
    return time
