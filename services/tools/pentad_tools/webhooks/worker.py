"""Takes jobs of webhooks as they come due, and does a bounded number of them at once."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pentad.state.v1.job_pb2 import Job, Queue
from pentad.state.v1.job_service_pb2 import (
    ClaimedJob,
    ClaimJobsRequest,
    CompleteJobRequest,
    PostponeJobRequest,
)
from pentad_chassis.clock import random_id
from pentad_chassis.errors import ServiceError
from pentad_chassis.telemetry import Telemetry
from pentad_tools.config import Config
from pentad_tools.webhooks.delivery import Again, Delivery

if TYPE_CHECKING:
    from pentad.state.v1.job_service_pb2_grpc import JobServiceAsyncStub

LEASE_S = 30.0
_REPORT_S = 10.0
"""Left of a lease to tell the store what became of its job."""

_WAIT_S = 20.0
_ANSWER_S = 5.0
_GIVE_BACK_S = 2.0
_AWAY_S = 0.2
_AWAY_S_MAX = 5.0
_DOUBLINGS_MAX = 5

_EACH_MAX = 8
"""Jobs of one webhook at once: a receiver that hangs leaves room for the others."""

_BUSY_S = 3.0

_draw: Callable[[float, float], float] = random.uniform

_Name = tuple[str, str]


class Worker:
    """Does jobs, each in a task of its own."""

    def __init__(
        self, store: "JobServiceAsyncStub", delivery: Delivery, most: int, telemetry: Telemetry
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._most = most
        self._log = telemetry.log
        self._owner = random_id()
        self._working: dict[asyncio.Task[None], ClaimedJob] = {}
        self._each: Counter[_Name] = Counter()
        self._room = asyncio.Event()
        self._claiming = asyncio.create_task(self._claim_on())

    def rest(self) -> None:
        """Claim no more."""
        self._claiming.cancel()

    async def close(self, grace_s: float) -> None:
        """Let what is in hand end, for a time; give back the rest."""
        self.rest()
        await asyncio.gather(self._claiming, return_exceptions=True)
        if self._working:
            await asyncio.wait(self._working, timeout=grace_s)
        left = dict(self._working)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.gather(*map(self._give_back, left.values()))

    async def _claim_on(self) -> None:
        """Claim until cancelled; while the store is away, ask less and less often."""
        failures = 0
        while True:
            try:
                await self._claim()
                failures = 0
            except ServiceError as error:
                if not failures:
                    self._log.warning("no jobs to be had", reason=error.reason)
                longest = min(_AWAY_S_MAX, _AWAY_S * 2 ** min(failures, _DOUBLINGS_MAX))
                failures += 1
                await asyncio.sleep(max(_draw(0.0, longest), error.retry_after_s or 0.0))
            except Exception:  # noqa: BLE001 - nothing ends the claiming but its owner
                # A process that looks well and takes no jobs is worse than any defect.
                self._log.exception("claiming jobs failed by a defect")
                await asyncio.sleep(_AWAY_S_MAX)

    async def _claim(self) -> None:
        self._room.clear()
        room = self._most - len(self._working)
        if room <= 0:
            await self._room.wait()
            return
        request = ClaimJobsRequest(queue=Queue.QUEUE_WEBHOOKS, owner=self._owner, limit=room)
        request.lease.FromMilliseconds(int(LEASE_S * 1000))
        request.wait.FromMilliseconds(int(_WAIT_S * 1000))
        response = await self._store.ClaimJobs(request, timeout=_WAIT_S + _ANSWER_S)
        for claimed in response.jobs:
            task = asyncio.create_task(self._work(claimed))
            self._working[task] = claimed
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._working[task]
        self._room.set()

    async def _work(self, claimed: ClaimedJob) -> None:
        """Do a job and record what became of it; one that fails comes again after its lease."""
        begun_s = asyncio.get_running_loop().time()
        claim_ms = claimed.claim_time.ToMilliseconds()

        def now() -> float:
            return claim_ms / 1000 + asyncio.get_running_loop().time() - begun_s

        try:
            async with asyncio.timeout(LEASE_S):
                again = await self._outcome(claimed, now)
                if again is None:
                    await self._complete(claimed)
                else:
                    due_ms = int((now() + again.after_s) * 1000)
                    await self._postpone(claimed, again.job, due_ms, afresh=again.afresh)
        except (ServiceError, TimeoutError) as error:
            reason = getattr(error, "reason", "TOO_SLOW")
            self._log.warning("webhook job left to its lease", reason=reason)
        except Exception:  # noqa: BLE001 - a defect in one job must not reach the others
            self._log.exception("webhook job failed by a defect", job_id=claimed.job.job_id)

    async def _outcome(self, claimed: ClaimedJob, now: Callable[[], float]) -> Again | None:
        job = claimed.job
        name = (job.tenant, job.deliver_webhook.webhook)
        if self._each[name] >= _EACH_MAX:
            return Again(job, _draw(_BUSY_S / 3, _BUSY_S), afresh=job.attempt <= 1)
        self._each[name] += 1
        try:
            return await self._delivery.handle(job, now, now() + LEASE_S - _REPORT_S)
        finally:
            self._each[name] -= 1
            if not self._each[name]:
                del self._each[name]

    async def _give_back(self, claimed: ClaimedJob) -> None:
        try:
            async with asyncio.timeout(_GIVE_BACK_S):
                await self._postpone(claimed, claimed.job, claimed.claim_time.ToMilliseconds())
        except (ServiceError, TimeoutError):
            self._log.warning("webhook job left to its lease", job_id=claimed.job.job_id)

    async def _complete(self, claimed: ClaimedJob) -> None:
        job = claimed.job
        await self._store.CompleteJob(
            CompleteJobRequest(place=job.place, job_id=job.job_id, fence=claimed.fence)
        )

    async def _postpone(
        self, claimed: ClaimedJob, again: Job, due_ms: int, *, afresh: bool = False
    ) -> None:
        request = PostponeJobRequest(job=again, fence=claimed.fence, afresh=afresh)
        request.job.due_time.FromMilliseconds(due_ms)
        await self._store.PostponeJob(request)


@asynccontextmanager
async def open_worker(
    store: "JobServiceAsyncStub", delivery: Delivery, config: Config, telemetry: Telemetry
) -> AsyncIterator[Worker]:
    """Do what is due while the block runs; leaving it ends what is in hand, or gives it back."""
    worker = Worker(store, delivery, config.webhooks_max, telemetry)
    try:
        yield worker
    finally:
        await worker.close(config.drain_grace_s)
