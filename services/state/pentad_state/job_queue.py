"""Who waits for jobs, and where there are some that are due.

A job that is put says where, and when it is due. Announcements can be lost, and the lease of a
worker that died ends without one, so that while somebody waits all partitions are looked at every
few seconds, for all queues at once. When nobody waits, nothing is asked.
"""

import asyncio
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.job_pb2 import Queue
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad_chassis.clock import Clock
from pentad_state.bounds import check_name, check_range, invalid, to_ms
from pentad_state.jobs import QUEUES, Jobs
from pentad_state.leases import LEASE_S_MAX
from pentad_state.partitions import PARTITIONS
from pentad_state.parts import answers
from pentad_state.waiting import wait_for

_SWEEP_S = 3.0
_WAIT_S_MAX = 30.0
_CLAIMS_MAX = 100
_PARTITIONS_AT_ONCE = 16
"""Asked for jobs together; what they may hold fits into one answer."""


class JobQueues:
    """Hands out what is due, among those who ask."""

    def __init__(self, jobs: Jobs, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock
        self._lines = {queue: _Line(clock) for queue in QUEUES}
        self._swept = -math.inf
        self._sweeping = asyncio.Lock()

    def heard(self, message: bytes) -> None:
        """Take note of `QUEUE PARTITION DELAY_MS`: a job that is due after so long."""
        try:
            queue, partition, delay_ms = map(int, message.split())
        except ValueError:
            return  # of another version; the next sweep finds it
        if queue in QUEUES:
            line = self._lines[Queue.ValueType(queue)]
            line.note(partition % PARTITIONS, delay_ms / 1000)

    def missed(self) -> None:
        """Look everywhere, for any announcement may have been lost."""
        self._swept = -math.inf
        for line in self._lines.values():
            line.wake_next()

    async def poll(
        self, queue: Queue.ValueType, owner: str, lease: Duration, limit: int, wait_s: float
    ) -> list[ClaimedJob]:
        """Return jobs as soon as there are any that are due; none after `wait_s` seconds."""
        if queue not in QUEUES:
            raise invalid("queue", "must be one that there is")
        check_name("owner", owner)
        check_range("limit", limit, 1, _CLAIMS_MAX)
        lease_ms = to_ms("lease", lease, LEASE_S_MAX)
        line = self._lines[queue]
        until = self._clock.monotonic() + min(max(wait_s, 0.0), _WAIT_S_MAX)
        with line.waiting() as woken:
            while True:
                woken.clear()
                await self._sweep()
                jobs = await self._take(line, queue, lease_ms, limit)
                left_s = until - self._clock.monotonic()
                if jobs or left_s <= 0:
                    return jobs
                await wait_for(woken, min(left_s, line.quiet_s(self._swept + _SWEEP_S)))

    async def _sweep(self) -> None:
        """Learn from all partitions when jobs are due there, unless that was done lately."""
        async with self._sweeping:
            now = self._clock.monotonic()
            if now - self._swept < _SWEEP_S:
                return
            found = await answers({p: self._jobs.peek(p) for p in range(PARTITIONS)})
            self._swept = now
        for partition, next_s in found.items():
            for queue, seconds in next_s.items():
                self._lines[queue].note(partition, seconds)

    async def _take(
        self, line: "_Line", queue: Queue.ValueType, lease_ms: int, limit: int
    ) -> list[ClaimedJob]:
        """Claim from some of the partitions that have jobs which are due."""
        async with line.taking:
            asked = line.due(min(limit, _PARTITIONS_AT_ONCE))
            if not asked:
                return []
            each = limit // len(asked)
            try:
                found = await answers(
                    {p: self._jobs.claim(p, queue, lease_ms, each) for p in asked}
                )
            except BaseException:
                line.put_back(asked)
                raise
            for partition, taken in found.items():
                if taken.next_s is not None:
                    line.note(partition, taken.next_s)
            jobs = [job for taken in found.values() for job in taken.jobs]
            return sorted(jobs, key=lambda claimed: claimed.job.due_time.ToMilliseconds())


class _Line:
    """Those who wait for jobs of one queue, and when there are some in which partition."""

    def __init__(self, clock: Clock) -> None:
        self.taking = asyncio.Lock()
        self._clock = clock
        self._dues: dict[int, float] = {}
        self._waiters: dict[asyncio.Event, None] = {}
        """In the order of their coming."""

    @contextmanager
    def waiting(self) -> Iterator[asyncio.Event]:
        """Stand in the line; who leaves it hands the turn on."""
        woken = asyncio.Event()
        self._waiters[woken] = None
        try:
            yield woken
        finally:
            del self._waiters[woken]
            if self._dues:
                self.wake_next()

    def wake_next(self) -> None:
        """Have the one who waits longest look."""
        for woken in self._waiters:
            woken.set()
            return

    def note(self, partition: int, delay_s: float) -> None:
        """Remember that a job is due there after so long, or one was earlier."""
        at = self._clock.monotonic() + delay_s
        if at < self._dues.get(partition, math.inf):
            self._dues[partition] = at
            self.wake_next()

    def due(self, limit: int) -> list[int]:
        """Return partitions where jobs are due, longest first, and consider them looked at."""
        now = self._clock.monotonic()
        found = sorted((at, p) for p, at in self._dues.items() if at <= now)[:limit]
        for _, partition in found:
            del self._dues[partition]
        return [partition for _, partition in found]

    def put_back(self, partitions: Iterable[int]) -> None:
        """Have partitions looked at again."""
        for partition in partitions:
            self.note(partition, 0.0)

    def quiet_s(self, until: float) -> float:
        """Return how long there is no need to look by oneself."""
        return max(min(min(self._dues.values(), default=until), until) - self._clock.monotonic(), 0)
