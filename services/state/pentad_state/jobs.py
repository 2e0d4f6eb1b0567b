"""Jobs: what must be done once its time has come, kept in the partition of its place."""

from collections.abc import Sequence
from dataclasses import dataclass

from pentad.state.v1.job_pb2 import Job, Queue
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad_state.bounds import KIB, check_count, check_name, check_size, invalid
from pentad_state.journal import to_time
from pentad_state.partitions import key, partition_of_run
from pentad_state.store import Store, Value, script

QUEUES = (Queue.QUEUE_RUNS, Queue.QUEUE_WEBHOOKS)
"""All there are, in the order of their numbers from 1: a script picks a key by the number."""

JOB_BYTES = 64 * KIB
_APPENDED_MAX = 200
_CLAIMED_BYTES = 128 * KIB


@dataclass(frozen=True, slots=True)
class Taken:
    """What a partition handed out."""

    jobs: list[ClaimedJob]
    next_s: float | None
    """Until the next job of the queue there is due; None when there is none."""


class Jobs:
    """Every method is one atomic step of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def put(self, job: Job, *, only_if_absent: bool) -> bool:
        """Record a job; return False when one of its id was there, and was to be left."""
        values = job_values(job)
        p = partition_of_run(job.place)
        (verdict,) = await self._store.run(
            script("job_put"), job_keys(p), int(only_if_absent), *values
        )
        return bool(verdict == b"OK")

    async def peek(self, partition: int) -> dict[Queue.ValueType, float]:
        """Return in how many seconds the next job of each queue is due, where there is one."""
        found = await self._store.run(script("job_peek"), job_keys(partition)[1:])
        return {q: ms / 1000 for q, ms in zip(QUEUES, found, strict=True) if ms >= 0}

    async def claim(
        self, partition: int, queue: Queue.ValueType, lease_ms: int, limit: int
    ) -> Taken:
        """Hand out jobs that are due, those due longest first."""
        claim_ms, claimed, next_ms = await self._store.run(
            script("job_claim"),
            [key(partition, "job-records"), key(partition, "jobs", str(queue))],
            queue, lease_ms, limit, _CLAIMED_BYTES,
        )  # fmt: skip
        return Taken(
            jobs=[_to_claimed(int(claim_ms), *each) for each in claimed],
            next_s=None if next_ms < 0 else next_ms / 1000,
        )

    async def complete(self, place: str, job_id: str, fence: int) -> None:
        """Forget a job that is done, unless it was claimed anew or replaced."""
        p = partition_of_run(place)
        await self._store.run(script("job_end"), job_keys(p), job_id, fence)

    async def postpone(self, job: Job, fence: int, *, afresh: bool) -> None:
        """Give a claimed job back for another time, unless it was claimed anew or replaced."""
        queue, job_id, due_ms, _, kept = job_values(job)
        await self._store.run(
            script("job_postpone"),
            job_keys(partition_of_run(job.place)),
            fence, int(afresh), queue, job_id, due_ms, kept,
        )  # fmt: skip

    async def delete(self, place: str, job_id: str) -> None:
        """Forget a job."""
        await self._store.run(script("job_end"), job_keys(partition_of_run(place)), job_id, "")


def job_keys(partition: int) -> list[str]:
    """Return the keys that a script needs to put jobs."""
    queues = (key(partition, "jobs", str(queue)) for queue in QUEUES)
    return [key(partition, "job-records"), *queues]


def jobs_values(field: str, jobs: Sequence[Job], partition: int) -> list[Value]:
    """Return what `put_jobs` takes for jobs that are put with something else, in one partition."""
    check_count(field, len(jobs), _APPENDED_MAX)
    for i, job in enumerate(jobs):
        if partition_of_run(job.place) != partition:
            raise invalid(f"{field}[{i}].place", "must be in the same partition as what puts it")
    return [value for i, job in enumerate(jobs) for value in job_values(job, f"{field}[{i}]")]


def job_values(job: Job, field: str = "job") -> list[Value]:
    """Return what `put_jobs` takes for one job."""
    check_name(f"{field}.job_id", job.job_id)
    check_name(f"{field}.tenant", job.tenant)
    check_name(f"{field}.place", job.place)
    if job.queue not in QUEUES:
        raise invalid(f"{field}.queue", "must be one that there is")
    if job.WhichOneof("work") is None:
        raise invalid(f"{field}.work", "must be set")
    check_size(field, job.ByteSize(), JOB_BYTES)
    due_ms, nudges = max(job.due_time.ToMilliseconds(), 0), job.nudge
    kept = Job()
    kept.CopyFrom(job)
    kept.ClearField("nudge")  # it says how to put the job, not what it is
    return [job.queue, job.job_id, due_ms, int(nudges), kept.SerializeToString()]


def _to_claimed(claim_ms: int, fence: int, attempt: int, put: bytes, kept: bytes) -> ClaimedJob:
    job = Job.FromString(kept)
    job.attempt = attempt
    job.create_time.CopyFrom(to_time(int(put)))
    if not job.HasField("due_time"):
        job.due_time.CopyFrom(job.create_time)
    return ClaimedJob(job=job, fence=fence, claim_time=to_time(claim_ms))
