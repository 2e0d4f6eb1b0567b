"""The worker: each job is done, put off or tried again, and none is in the way of another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from harness.fakes import direct, until
from simulation.jobs import Jobs as Store

from pentad.state.v1.job_pb2 import CancelRun, Job, LeaveSession, Queue, SignalRun
from pentad.state.v1.job_service_pb2 import (
    ClaimedJob,
    ClaimJobsRequest,
    PostponeJobRequest,
    PostponeJobResponse,
    PutJobRequest,
)
from pentad.state.v1.run_service_pb2 import RequestCancelRequest, SignalRunRequest
from pentad_chassis.errors import NotFound, ResourceExhausted, Unavailable
from pentad_chassis.failpoints import armed
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator.config import Config
from pentad_orchestrator.jobs import Handler, backoff_s, working_off
from pentad_orchestrator.relays import Relays

SETTINGS = {"claim_wait_s": 1.0, "retry_s_first": 0.01, "retry_s_max": 0.05, "drain_grace_s": 0.2}


def job(name: str, **fields: Any) -> Job:
    return Job(
        job_id=name,
        tenant="acme",
        place="p",
        queue=Queue.QUEUE_RUNS,
        **(fields or {"cancel_run": CancelRun(run_id=name)}),
    )


class Flaky:
    """A job service that is away for so many claims."""

    def __init__(self, store: Store, away: int) -> None:
        self._store = direct(store)
        self.away = away

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        return getattr(self._store, method)  # type: ignore[no-any-return]

    async def ClaimJobs(self, request: ClaimJobsRequest, **_: float) -> Any:
        self.away -= 1
        if self.away >= 0:
            raise Unavailable("away")
        return await self._store.ClaimJobs(request)


class Noting(Store):
    """A job service that notes what was put off, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.postponed: list[tuple[PostponeJobRequest, int]] = []

    async def PostponeJob(
        self, request: PostponeJobRequest, context: object
    ) -> PostponeJobResponse:
        self.postponed.append((request, self._now_ms()))
        return await super().PostponeJob(request, context)


@pytest.fixture
def store() -> Noting:
    return Noting()


@asynccontextmanager
async def working(store: Any, handle: Handler, **settings: Any) -> AsyncIterator[None]:
    """Do jobs that cancel runs with one handler inside the block."""
    config = Config(**{**SETTINGS, **settings})
    stub = direct(store) if isinstance(store, Store) else store
    telemetry = silent_telemetry("orchestrator")
    async with working_off(stub, {"cancel_run": handle}, "o", config, telemetry):
        yield


async def put(store: Store, *names: str) -> None:
    for name in names:
        await store.PutJob(PutJobRequest(job=job(name)), None)


def attempts(store: Store) -> dict[str, int]:
    return {kept.job.job_id: kept.job.attempt for kept in store.kept.values()}


async def test_jobs_are_done_and_forgotten(store: Store) -> None:
    done: list[str] = []

    async def handle(claimed: ClaimedJob) -> None:
        done.append(claimed.job.job_id)

    await put(store, "a")
    async with working(store, handle):
        await until(lambda: not store.kept)
        await put(store, "b")
        await until(lambda: not store.kept)

    assert done == ["a", "b"]


async def test_a_job_that_is_put_off_begins_anew_at_its_time(store: Store) -> None:
    seen: list[int] = []

    async def handle(claimed: ClaimedJob) -> Job | None:
        seen.append(claimed.job.attempt)
        if len(seen) == 3:
            return None
        later = Job()
        later.CopyFrom(claimed.job)
        later.due_time.FromMilliseconds(claimed.claim_time.ToMilliseconds() + 20)
        return later

    await put(store, "a")
    async with working(store, handle):
        await until(lambda: not store.kept)

    assert seen == [1, 1, 1]


async def test_a_job_that_fails_is_tried_again_later_and_counts_its_attempts(
    store: Noting,
) -> None:
    async def handle(claimed: ClaimedJob) -> None:
        if claimed.job.attempt < 3:
            raise ResourceExhausted("full")

    await put(store, "a")
    begun_ms = store._now_ms()
    async with working(store, handle):
        await until(lambda: not store.kept)

    assert [request.job.attempt for request, _ in store.postponed] == [1, 2]
    assert not any(request.afresh for request, _ in store.postponed)
    assert store.postponed[0][0].job.due_time.ToMilliseconds() >= begun_ms + 250


async def test_a_defect_of_one_job_does_not_reach_the_others(store: Noting) -> None:
    async def handle(claimed: ClaimedJob) -> None:
        if claimed.job.job_id == "bad":
            raise KeyError("no such thing")

    await put(store, "bad", "good")
    async with working(store, handle):
        await until(lambda: store.postponed)
        await put(store, "later")
        await until(lambda: set(attempts(store)) == {"bad"})


async def test_a_job_of_an_unknown_kind_is_left_to_its_lease(store: Store) -> None:
    """To this version it may as well be of a kind without a name."""

    async def handle(claimed: ClaimedJob) -> None: ...

    await store.PutJob(PutJobRequest(job=job("new", leave_session=LeaveSession())), None)
    await put(store, "known")
    async with working(store, handle):
        await until(lambda: set(attempts(store)) == {"new"})

    assert is_claimed(store)


async def test_so_many_at_once_and_no_more(store: Store) -> None:
    going_on: set[str] = set()
    most = 0
    gate = asyncio.Event()

    async def handle(claimed: ClaimedJob) -> None:
        nonlocal most
        going_on.add(claimed.job.job_id)
        most = max(most, len(going_on))
        await gate.wait()
        going_on.discard(claimed.job.job_id)

    await put(store, "a", "b", "c", "d")
    async with working(store, handle, max_jobs=2):
        await until(lambda: len(going_on) == 2)
        gate.set()
        await until(lambda: not store.kept)

    assert most == 2


async def test_a_job_that_takes_too_long_is_cut_off_and_tried_again(store: Noting) -> None:
    async def handle(claimed: ClaimedJob) -> None:
        if not store.postponed:
            await asyncio.Event().wait()
        assert claimed.job.attempt > 1

    await put(store, "a")
    async with working(store, handle, job_lease_s=1.0):
        await until(lambda: not store.kept)

    assert store.postponed


async def test_what_is_not_done_at_the_stop_is_given_back_at_once(store: Store) -> None:
    begun = asyncio.Event()

    async def handle(_: ClaimedJob) -> None:
        begun.set()
        await asyncio.Event().wait()

    await put(store, "a")
    async with working(store, handle):
        await begun.wait()

    (kept,) = store.kept.values()
    assert not kept.claimed
    assert kept.due_ms <= store._now_ms()


async def test_what_is_nearly_done_at_the_stop_is_done(store: Store) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def handle(_: ClaimedJob) -> None:
        begun.set()
        await gate.wait()

    await put(store, "a")
    async with working(store, handle, drain_grace_s=20.0, job_lease_s=60.0):
        await begun.wait()
        asyncio.get_running_loop().call_soon(gate.set)

    assert not store.kept


async def test_a_store_that_is_away_is_waited_for(store: Store) -> None:
    async def handle(claimed: ClaimedJob) -> None: ...

    await put(store, "a")
    flaky = Flaky(store, away=5)
    async with working(flaky, handle):
        await until(lambda: not store.kept)

    assert flaky.away < 0


@pytest.mark.parametrize("point", ["orchestrator.job.before", "orchestrator.job.after"])
async def test_a_job_is_done_again_after_a_failure_at(store: Store, point: str) -> None:
    done: list[int] = []

    async def handle(claimed: ClaimedJob) -> None:
        done.append(claimed.job.attempt)

    await put(store, "a")
    with armed({point: "raise@1"}) as reached:
        async with working(store, handle, job_lease_s=1.0):
            await until(lambda: not store.kept)

    assert reached[point] > 1
    assert done[-1] > 1


def test_pauses_grow_to_a_minute() -> None:
    longest = [backoff_s(attempt, lambda _, most: most) for attempt in range(1, 10)]
    shortest = [backoff_s(attempt, lambda least, _: least) for attempt in range(1, 10)]

    assert longest == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert shortest == [each / 2 for each in longest]
    assert backoff_s(10_000, lambda _, most: most) == 60


class Told:
    """Runs that may be gone, and what they are told."""

    def __init__(self, *, gone: bool) -> None:
        self.gone = gone
        self.asked: list[Any] = []

    async def SignalRun(self, request: SignalRunRequest) -> None:
        self._take(request)

    async def RequestCancel(self, request: RequestCancelRequest) -> None:
        self._take(request)

    def _take(self, request: Any) -> None:
        self.asked.append(request)
        if self.gone:
            raise NotFound("no such run")


@pytest.mark.parametrize("gone", [False, True])
async def test_runs_are_told_and_cancelled_if_they_are_there(*, gone: bool) -> None:
    told = Told(gone=gone)
    relays = Relays(told)  # type: ignore[arg-type]
    signal = SignalRun(run_id="r", signal_id="s")
    await relays.signal(ClaimedJob(job=job("j", signal_run=signal)))
    await relays.cancel(ClaimedJob(job=job("k", cancel_run=CancelRun(run_id="r", reason="why"))))

    assert told.asked == [
        SignalRunRequest(tenant="acme", run_id="r", signal_id="s", event=signal.event),
        RequestCancelRequest(tenant="acme", run_id="r", reason="why"),
    ]


def is_claimed(store: Store) -> bool:
    return any(kept.claimed for kept in store.kept.values())
