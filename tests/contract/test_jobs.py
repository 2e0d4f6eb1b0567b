"""Jobs are handed out once their time has come, to one worker at a time, until they are done."""

import asyncio
from collections.abc import Sequence

import pytest
from harness.engines import ask
from harness.fakes import until
from harness.runs import RUNNING, STARTED, append, claimed, seconds

from pentad.state.v1.event_pb2 import Event, RunStarted
from pentad.state.v1.job_pb2 import CancelRun, DeliverWebhook, Job, Queue
from pentad.state.v1.job_service_pb2 import ClaimedJob
from pentad_chassis.errors import InvalidArgument
from pentad_chassis.telemetry import silent_telemetry
from pentad_state.app import open_core
from pentad_state.appends import Beside
from pentad_state.bounds import KIB
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.errors import PayloadTooLarge, SeqConflict
from pentad_state.partitions import partition_of, partition_of_run

RUNS, WEBHOOKS = Queue.QUEUE_RUNS, Queue.QUEUE_WEBHOOKS
PLACE = "acme/nightly"
LONG_S = 60.0


def job(job_id: str = "one", place: str = PLACE, reason: str = "why", due_ms: int = 0) -> Job:
    made = Job(job_id=job_id, tenant="acme", place=place, queue=RUNS)
    made.cancel_run.CopyFrom(CancelRun(run_id="r", reason=reason))
    if due_ms:
        made.due_time.FromMilliseconds(due_ms)
    return made


def nudging(made: Job) -> Job:
    made.nudge = True
    return made


def store_ms(engine: str) -> int:
    """The store's time."""
    answer = ask(engine, "TIME")
    assert isinstance(answer, list | tuple)
    return int(answer[0]) * 1000 + int(answer[1]) // 1000


async def put(core: StateCore, *jobs: Job) -> None:
    for each in jobs:
        assert await core.jobs.put(each, only_if_absent=False)


async def claim(
    core: StateCore,
    owner: str = "one",
    limit: int = 10,
    wait_s: float = 25,
    lease_s: float = LONG_S,
    queue: Queue.ValueType = RUNS,
) -> list[ClaimedJob]:
    """Claim as workers do, who wait until they hear of a job."""
    return await core.job_queues.poll(queue, owner, seconds(lease_s), limit, wait_s)


async def due(core: StateCore, queue: Queue.ValueType = RUNS, place: str = PLACE) -> list[str]:
    """Claim what is due in a partition, whether or not anybody has heard of it."""
    partition = partition_of_run(place)
    return ids((await core.jobs.claim(partition, queue, int(LONG_S * 1000), 100)).jobs)


def ids(found: Sequence[ClaimedJob]) -> list[str]:
    return [each.job.job_id for each in found]


async def test_a_job_is_handed_out_as_it_was_put(core: StateCore) -> None:
    await put(core, job())

    (claimed,) = await claim(core)

    assert claimed.job.cancel_run == job().cancel_run
    assert (claimed.job.place, claimed.job.tenant, claimed.job.attempt) == (PLACE, "acme", 1)
    assert claimed.job.create_time.ToMilliseconds() <= claimed.claim_time.ToMilliseconds()
    assert claimed.job.due_time == claimed.job.create_time
    assert await due(core) == []


async def test_a_job_is_claimed_by_its_own_queue_only(core: StateCore) -> None:
    hook = Job(
        job_id="hook", tenant="acme", place=PLACE, queue=WEBHOOKS, deliver_webhook=DeliverWebhook()
    )
    await put(core, job(), hook)

    assert ids(await claim(core, queue=WEBHOOKS)) == ["hook"]
    assert ids(await claim(core, queue=RUNS)) == ["one"]


async def test_a_job_waits_for_its_time(core: StateCore, engine: str) -> None:
    await put(core, job(due_ms=store_ms(engine) + 3_600_000))
    assert await due(core) == []

    soon_ms = store_ms(engine) + 300
    await put(core, job("soon", due_ms=soon_ms))
    (claimed,) = await claim(core, wait_s=20)

    assert claimed.job.job_id == "soon"
    assert claimed.claim_time.ToMilliseconds() >= soon_ms


async def test_those_due_longest_go_first(core: StateCore, engine: str) -> None:
    now_ms = store_ms(engine)
    await put(core, *(job(f"j{i}", f"place {i}", due_ms=now_ms + i) for i in (3, 1, 2)))
    await until(lambda: store_ms(engine) > now_ms + 3)

    assert ids(await claim(core)) == ["j1", "j2", "j3"]


async def test_one_who_waits_is_told_of_a_job_that_is_put(core: StateCore) -> None:
    assert await due(core) == []
    waiting = asyncio.create_task(claim(core))
    await asyncio.sleep(0)

    await put(core, job())

    assert ids(await waiting) == ["one"]


async def test_a_job_of_another_replica_is_found(core: StateCore, engine: str) -> None:
    async with open_core(engine, Config(), silent_telemetry("state")) as other:
        waiting = asyncio.create_task(claim(other))
        await put(core, job())

        assert ids(await waiting) == ["one"]


async def test_a_job_whose_worker_died_is_handed_out_again(core: StateCore, engine: str) -> None:
    """Also by a replica of the state service that has not heard of the claim."""
    await put(core, job())
    (lost,) = await claim(core, lease_s=0.2)

    async with open_core(engine, Config(), silent_telemetry("state")) as other:
        (again,) = await claim(other, "two")

    assert (again.job.job_id, again.job.attempt) == ("one", 2)
    assert again.fence > lost.fence
    assert again.claim_time.ToMilliseconds() >= lost.claim_time.ToMilliseconds() + 200


async def test_a_job_that_is_done_is_forgotten(core: StateCore) -> None:
    await put(core, job())
    (claimed,) = await claim(core, lease_s=0.1)

    for _ in range(2):
        await core.jobs.complete(PLACE, "one", claimed.fence)

    assert await due(core) == []
    assert await core.jobs.peek(partition_of_run(PLACE)) == {}


async def test_only_who_holds_a_job_ends_it(core: StateCore) -> None:
    await put(core, job())
    (stale,) = await claim(core, lease_s=0.1)
    (held,) = await claim(core, "two", lease_s=0.5)

    await core.jobs.complete(PLACE, "one", stale.fence)
    await core.jobs.postpone(job(due_ms=9_999_999_999_999), stale.fence, afresh=False)

    (again,) = await claim(core, "three")
    assert again.job.attempt == held.job.attempt + 1


async def test_a_job_that_is_put_anew_is_another_one(core: StateCore) -> None:
    """Whoever did the one before does not end it, even where that was forgotten meanwhile."""
    await put(core, job(reason="first"))
    (first,) = await claim(core)

    await put(core, job(reason="second"))
    await core.jobs.complete(PLACE, "one", first.fence)

    (second,) = await claim(core)
    assert (second.job.cancel_run.reason, second.job.attempt) == ("second", 1)

    await core.jobs.complete(PLACE, "one", second.fence)
    await put(core, job(reason="third"))
    (third,) = await claim(core)
    for old in (first, second):
        await core.jobs.complete(PLACE, "one", old.fence)
        await core.jobs.postpone(job(), old.fence, afresh=False)
    assert third.fence > second.fence
    assert await due(core) == []


async def test_a_job_may_change_its_queue(core: StateCore) -> None:
    await put(core, job())
    moved = job()
    moved.queue = WEBHOOKS
    await put(core, moved)

    assert await due(core, RUNS) == []
    assert ids(await claim(core, queue=WEBHOOKS)) == ["one"]


async def test_one_that_is_there_can_be_left(core: StateCore) -> None:
    assert await core.jobs.put(job(reason="first"), only_if_absent=True)
    assert not await core.jobs.put(job(reason="second"), only_if_absent=True)

    (claimed,) = await claim(core)
    assert claimed.job.cancel_run.reason == "first"
    assert not await core.jobs.put(job(), only_if_absent=True)
    await core.jobs.complete(PLACE, "one", claimed.fence)
    assert await core.jobs.put(job(), only_if_absent=True)


@pytest.mark.parametrize(("afresh", "attempt"), [(False, 2), (True, 1)])
async def test_a_job_is_given_back_for_another_time(
    core: StateCore, engine: str, *, afresh: bool, attempt: int
) -> None:
    await put(core, job(reason="before"))
    (claimed,) = await claim(core)
    due_ms = store_ms(engine) + 300
    later = job(reason="after", due_ms=due_ms)

    for _ in range(2):
        await core.jobs.postpone(later, claimed.fence, afresh=afresh)

    (again,) = await claim(core)
    assert (again.job.cancel_run.reason, again.job.attempt) == ("after", attempt)
    assert again.job.due_time.ToMilliseconds() == due_ms
    assert again.claim_time.ToMilliseconds() >= due_ms
    assert again.job.create_time == claimed.job.create_time


async def test_a_nudge_makes_a_job_that_waits_due_and_leaves_it_as_it_is(
    core: StateCore, engine: str
) -> None:
    assert await due(core) == []
    await put(core, job(reason="first", due_ms=store_ms(engine) + 3_600_000))
    waiting = asyncio.create_task(claim(core))

    await put(core, nudging(job(reason="second")))

    (claimed,) = await waiting
    assert (claimed.job.cancel_run.reason, claimed.job.nudge) == ("first", False)


async def test_a_nudge_with_nothing_there_puts_the_job(core: StateCore) -> None:
    await put(core, nudging(job()))

    (claimed,) = await claim(core)
    assert (claimed.job.cancel_run, claimed.job.nudge) == (job().cancel_run, False)


@pytest.mark.parametrize("ends", ["complete", "postpone", "nothing"])
async def test_a_job_that_is_nudged_while_it_is_done_is_done_once_more(
    core: StateCore, ends: str
) -> None:
    await put(core, job(reason="first"))
    (held,) = await claim(core, lease_s=0.2 if ends == "nothing" else LONG_S)

    await put(core, nudging(job(reason="second")))
    match ends:
        case "complete":
            await core.jobs.complete(PLACE, "one", held.fence)
        case "postpone":
            much_later = job(reason="third", due_ms=9_999_999_999_999)
            await core.jobs.postpone(much_later, held.fence, afresh=True)

    (again,) = await claim(core)
    assert again.job.cancel_run.reason == ("third" if ends == "postpone" else "first")
    assert again.job.attempt == (2 if ends == "nothing" else 1)
    await core.jobs.complete(PLACE, "one", again.fence)
    assert await core.jobs.peek(partition_of_run(PLACE)) == {}


async def test_a_job_can_be_forgotten_whoever_holds_it(core: StateCore) -> None:
    await put(core, job(), job("two"))
    (held, *_) = await claim(core, limit=1)

    await core.jobs.delete(PLACE, "one")
    await core.jobs.delete(PLACE, "two")
    await core.jobs.postpone(held.job, held.fence, afresh=False)

    assert await due(core) == []


async def test_no_two_hold_a_job_at_once(core: StateCore, engine: str) -> None:
    made = [job(f"j{i}", f"place {i % 70}") for i in range(200)]
    await asyncio.gather(*(put(core, each) for each in made))

    async with open_core(engine, Config(), silent_telemetry("state")) as other:
        done: list[str] = []

        async def work(at: StateCore, owner: str) -> None:
            while len(done) < len(made):
                claimed = await claim(at, owner, limit=7, wait_s=0.2)
                done.extend(ids(claimed))
                await asyncio.gather(
                    *(at.jobs.complete(c.job.place, c.job.job_id, c.fence) for c in claimed)
                )

        async with asyncio.timeout(60):
            await asyncio.gather(*(work(c, f"o{i}") for i in range(3) for c in (core, other)))

    assert sorted(done) == sorted(each.job_id for each in made)


async def test_jobs_are_put_with_the_events_that_they_follow_from(core: StateCore) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    hook = Job(
        job_id="hook", tenant="acme", place=run_id, queue=WEBHOOKS, deliver_webhook=DeliverWebhook()
    )

    with pytest.raises(SeqConflict):
        await append(core, held.lease, 7, STARTED, beside=Beside(jobs=[job("no", run_id)]))
    elsewhere = next(p for p in map(str, range(99)) if partition_of(p) != int(run_id[:2]))
    with pytest.raises(InvalidArgument):
        await append(core, held.lease, 1, STARTED, beside=Beside(jobs=[job("no", elsewhere)]))
    await append(core, held.lease, 1, STARTED, beside=Beside(jobs=[job("yes", run_id), hook]))

    assert ids(await claim(core)) == ["yes"]
    assert ids(await claim(core, queue=WEBHOOKS)) == ["hook"]


async def test_a_repeated_append_puts_its_jobs_once(core: StateCore) -> None:
    held = await claimed(core)
    beside = Beside(jobs=[job("once", held.lease.run_id)])
    lease = held.lease
    await core.appends.append(lease, 1, "same", [Event(run_started=RunStarted())], RUNNING, beside)
    (first,) = await claim(core)
    await core.jobs.complete(first.job.place, first.job.job_id, first.fence)

    await core.appends.append(lease, 1, "same", [Event(run_started=RunStarted())], RUNNING, beside)

    assert await due(core) == []


async def test_an_answer_holds_no_more_than_fits_into_a_message(core: StateCore) -> None:
    reason = "x" * (60 * KIB)
    await asyncio.gather(*(put(core, job(f"j{i}", f"p{i}", reason)) for i in range(100)))

    seen: list[str] = []
    while len(seen) < 100:
        claimed = await claim(core, limit=100)
        assert sum(each.ByteSize() for each in claimed) < 3 * 1024 * KIB
        seen += ids(claimed)

    assert len(set(seen)) == len(seen) == 100


async def test_what_cannot_be_a_job_is_refused(core: StateCore) -> None:
    with pytest.raises(PayloadTooLarge):
        await put(core, job(reason="x" * 65 * KIB))
    for field in ("job_id", "tenant", "place", "queue", "cancel_run"):
        wrong = job()
        wrong.ClearField(field)
        with pytest.raises(InvalidArgument):
            await put(core, wrong)
    for limit, lease_s, queue in ((0, 1.0, RUNS), (101, 1.0, RUNS), (1, 601.0, RUNS), (1, 1.0, 0)):
        with pytest.raises(InvalidArgument):
            await claim(core, limit=limit, lease_s=lease_s, queue=Queue.ValueType(queue))
