"""Work whose time has come: claimed in one long poll, done by its kind, tried again for ever."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from pentad.state.v1.job_pb2 import Job, Queue
from pentad.state.v1.job_service_pb2 import (
    ClaimedJob,
    ClaimJobsRequest,
    CompleteJobRequest,
    PostponeJobRequest,
)
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import failpoint
from pentad_chassis.telemetry import Telemetry
from pentad_orchestrator.config import Config
from pentad_orchestrator.group import open_group
from pentad_orchestrator.loops import forever
from pentad_orchestrator.metrics import JobMetrics
from pentad_orchestrator.patience import Patience

if TYPE_CHECKING:
    from pentad.state.v1.job_service_pb2_grpc import JobServiceAsyncStub

Handler = Callable[[ClaimedJob], Awaitable[Job | None]]
"""Does a job, which may have been done before, wholly or in part.

Returns None when it is done for good, or the job as it is to be at its next `due_time`. Whatever it
raises has the job tried again.
"""

_HANDLE_PART, _SETTLE_PART = 0.6, 0.8
"""Parts of the lease within which a job is done, and within which the store has to hear of it."""

_BACKOFF_S, _BACKOFF_S_MAX = 0.5, 60.0
_DOUBLINGS_MAX = 8
_CLAIMS_MAX = 100
_REPORT_S = 5.0
_RELEASE_S = 2.0


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is to become of a claimed job."""

    again: Job | None
    """As it is to be at its next time; None for never."""
    failed: bool = False


class Jobs:
    """Takes jobs while there is room, and does each in a task of its own under its lease."""

    def __init__(
        self,
        store: "JobServiceAsyncStub",
        handlers: Mapping[str, Handler],
        asks: ClaimJobsRequest,
        tasks: asyncio.TaskGroup,
        patience: Patience,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._asks = asks
        self._lease_s = asks.lease.ToTimedelta().total_seconds()
        self._tasks = tasks
        self._patience = patience
        self._log: FilteringBoundLogger = telemetry.log
        self._metrics = JobMetrics(telemetry.metrics)
        self._working: dict[asyncio.Task[None], ClaimedJob] = {}
        self._room_made = asyncio.Event()

    async def claim(self) -> None:
        """Begin with whatever is due, once there is something; wait through outages."""
        await self._patience.until_answered(self.claim_once, what="ClaimJobs", repeat_after=_always)

    async def claim_once(self) -> None:
        """Ask once, or wait until there is room to ask for."""
        room = self._asks.limit - len(self._working)
        if not room:
            self._room_made.clear()
            await self._room_made.wait()
            return
        request = ClaimJobsRequest()
        request.CopyFrom(self._asks)
        request.limit = min(room, _CLAIMS_MAX)
        wait_s = request.wait.ToTimedelta().total_seconds()
        response = await self._store.ClaimJobs(request, timeout=wait_s + _REPORT_S)
        for claimed in response.jobs:
            self._begin(claimed)

    async def drain(self, grace_s: float) -> None:
        """Let jobs in hand end within `grace_s`, and give back those that do not."""
        left = dict(self._working)
        if not left:
            return
        _, late = await asyncio.wait(left, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        await asyncio.gather(*(self._release(left[task]) for task in late))

    def _begin(self, claimed: ClaimedJob) -> None:
        kind = claimed.job.WhichOneof("work")
        handle = self._handlers.get(kind or "")
        if kind is None or handle is None:
            # Somebody newer knows what it is, and finds it when its lease has ended.
            self._log.info("job of an unknown kind", job_id=claimed.job.job_id, kind=kind)
            return
        age_ms = claimed.claim_time.ToMilliseconds() - claimed.job.due_time.ToMilliseconds()
        self._metrics.ages.observe(max(0.0, age_ms / 1000), (kind,))
        task = self._tasks.create_task(self._work(claimed, kind, handle))
        self._working[task] = claimed
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._working[task]
        self._room_made.set()

    async def _work(self, claimed: ClaimedJob, kind: str, handle: Handler) -> None:
        """Do a job and say what became of it; whatever goes wrong is its own affair."""
        begun_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(begun_s + self._lease_s * _SETTLE_PART):
                outcome = await self._outcome(claimed, kind, handle)
                await failpoint("orchestrator.job.after")
                settle = partial(self._settle, claimed, outcome)
                await self._patience.until_answered(settle, what="CompleteJob")
            (self._metrics.failed if outcome.failed else self._metrics.done).labels(kind).inc()
        except Exception as error:  # noqa: BLE001 - it comes again once its lease has ended
            reason = getattr(error, "reason", type(error).__name__)
            self._log.warning("job left to its lease", job_id=claimed.job.job_id, reason=reason)

    async def _outcome(self, claimed: ClaimedJob, kind: str, handle: Handler) -> _Outcome:
        about = {"job_id": claimed.job.job_id, "kind": kind, "attempt": claimed.job.attempt}
        clock = asyncio.get_running_loop().time
        begun_s = clock()
        try:
            await failpoint("orchestrator.job.before")
            async with asyncio.timeout(self._lease_s * _HANDLE_PART):
                return _Outcome(await handle(claimed))
        except ServiceError as error:
            self._log.warning("job failed", reason=error.reason, **about)
        except TimeoutError:
            self._log.warning("job failed", reason="TOO_SLOW", **about)
        except Exception:  # noqa: BLE001 - a defect of one kind of job must not reach the others
            self._log.exception("job failed by a defect", **about)
        again = Job()
        again.CopyFrom(claimed.job)
        wait_s = clock() - begun_s + backoff_s(claimed.job.attempt)
        again.due_time.FromMilliseconds(claimed.claim_time.ToMilliseconds() + int(wait_s * 1000))
        return _Outcome(again, failed=True)

    async def _settle(self, claimed: ClaimedJob, outcome: _Outcome) -> None:
        job = claimed.job
        if outcome.again is None:
            await self._store.CompleteJob(
                CompleteJobRequest(place=job.place, job_id=job.job_id, fence=claimed.fence)
            )
            return
        await self._store.PostponeJob(
            PostponeJobRequest(job=outcome.again, fence=claimed.fence, afresh=not outcome.failed)
        )

    async def _release(self, claimed: ClaimedJob) -> None:
        request = PostponeJobRequest(job=claimed.job, fence=claimed.fence)
        try:
            await self._store.PostponeJob(request, timeout=_RELEASE_S)
        except ServiceError as error:
            self._log.warning("job not given back", reason=error.reason)


@asynccontextmanager
async def working_off(
    store: "JobServiceAsyncStub",
    handlers: Mapping[str, Handler],
    owner: str,
    config: Config,
    telemetry: Telemetry,
) -> AsyncIterator[None]:
    """Do what is due while the block runs; leaving it ends what is in hand, or gives it back."""
    asks = ClaimJobsRequest(queue=Queue.QUEUE_RUNS, owner=owner, limit=config.max_jobs)
    asks.lease.FromMilliseconds(int(config.job_lease_s * 1000))
    asks.wait.FromMilliseconds(int(config.claim_wait_s * 1000))
    patience = Patience(config.retry_s_first, config.retry_s_max, telemetry.log)
    async with open_group() as tasks:
        jobs = Jobs(store, handlers, asks, tasks, patience, telemetry)
        claiming = tasks.create_task(forever(jobs.claim, what="jobs", log=telemetry.log))
        try:
            yield
        finally:
            claiming.cancel()
            await jobs.drain(min(config.drain_grace_s, config.job_lease_s * _SETTLE_PART))


def backoff_s(attempt: int, draw: Callable[[float, float], float] = random.uniform) -> float:
    """Return how long to wait after a failed attempt, from 1: twice as long each time, to 1 min."""
    longest = min(_BACKOFF_S_MAX, _BACKOFF_S * 2.0 ** min(max(attempt - 1, 0), _DOUBLINGS_MAX))
    return draw(longest / 2, longest)


def _always(_: Exception) -> bool:
    return True
