"""What the store promises about runs."""

import asyncio
import time

import pytest
from harness.engines import ask
from harness.runs import (
    COMPLETED,
    DONE,
    RUNNING,
    STARTED,
    TENANT,
    TURN,
    TURN_DONE,
    append,
    by,
    claimed,
    create,
)

from pentad.state.v1.event_pb2 import Event, RunCreated, TextDelta
from pentad.state.v1.run_pb2 import RunSpec, RunStatus
from pentad.state.v1.run_service_pb2 import Claim, Lease
from pentad_chassis.errors import InvalidArgument
from pentad_state.core import StateCore
from pentad_state.errors import (
    InvalidPageToken,
    PayloadTooLarge,
    RequestIdReused,
    RunNotFound,
    SeqConflict,
    StaleFence,
)
from pentad_state.partitions import key, partition_of_run, run_id_for

ANY = RunStatus.STATE_UNSPECIFIED
BEGUN = ["run_created", "run_started", "turn_started"]


async def test_a_new_run_waits_and_holds_what_was_asked(core: StateCore) -> None:
    spec = RunSpec(agent="echo", input="grüße", session_id="s1")
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    made = RunCreated(tenant=TENANT, spec=spec, traceparent=traceparent)

    run, held, created = await core.runs.create("r1", b"\x00\xff", made, None)

    assert (created, held) == (True, None)
    assert run.run_id == run_id_for(TENANT, "r1")
    assert run.spec == spec
    assert run.trace_id == "a" * 32
    assert run.last_seq == 1
    assert run.status.state == RunStatus.STATE_QUEUED
    assert run.create_time.seconds > 0
    assert not run.HasField("start_time")
    assert await core.runs.get(TENANT, run.run_id) == (run, b"\x00\xff")


async def test_a_repeated_request_finds_its_run_and_another_one_is_refused(core: StateCore) -> None:
    made = RunCreated(tenant=TENANT, spec=RunSpec(agent="echo", input="hello"))
    first, _, _ = await core.runs.create("r1", b"one", made, None)

    again, held, created = await core.runs.create("r1", b"one", made, by("one"))
    assert (again, held, created) == (first, None, False)

    with pytest.raises(RequestIdReused) as caught:
        await core.runs.create("r1", b"two", made, None)
    assert caught.value.metadata == {"request_id": "r1"}


async def test_what_a_run_is_begun_with_is_recorded_with_it(core: StateCore) -> None:
    made = RunCreated(tenant=TENANT, spec=RunSpec(agent="echo", input="hello"))
    status = RunStatus(state=RunStatus.STATE_RUNNING, turns=7)

    run, held, _ = await core.runs.create("r1", b"", made, by("one"), [STARTED, TURN], status)

    assert held is not None
    assert [e.WhichOneof("kind") for e in held.events] == BEGUN
    assert [e.seq for e in held.events] == [1, 2, 3]
    assert (held.last_seq, run.last_seq, run.status.turns) == (3, 3, 7)
    assert await core.runs.list_events(run.run_id, 0) == list(held.events)
    assert await core.runs.get(TENANT, run.run_id) == (run, b"")
    (done,) = await append(core, held.lease, 3, TURN_DONE)
    assert done.seq == 4


async def test_a_run_that_waits_is_not_begun(core: StateCore) -> None:
    spec = RunSpec(agent="echo", input="hello")
    spec.start_time.FromSeconds(int(time.time()) + 3600)
    made = RunCreated(tenant=TENANT, spec=spec)

    run, held, _ = await core.runs.create("r1", b"", made, by("one"), [STARTED], RUNNING)

    assert (held, run.last_seq) == (None, 1)
    assert run.status.state == RunStatus.STATE_QUEUED


@pytest.mark.parametrize(
    ("claim", "begun"),
    [(None, STARTED), (by("one"), Event()), (by("one"), Event(run_created=RunCreated()))],
)
async def test_only_an_owner_begins_and_with_what_follows(
    core: StateCore, claim: Claim | None, begun: Event
) -> None:
    made = RunCreated(tenant=TENANT, spec=RunSpec(agent="echo", input="hello"))

    with pytest.raises(InvalidArgument) as caught:
        await core.runs.create("r1", b"", made, claim, [begun], RUNNING)

    assert caught.value.violations[0].field.startswith("begun")
    with pytest.raises(RunNotFound):
        await core.runs.get(TENANT, run_id_for(TENANT, "r1"))


async def test_concurrent_repeats_create_one_run(core: StateCore) -> None:
    made = RunCreated(tenant=TENANT, spec=RunSpec(agent="echo", input="hello"))

    results = await asyncio.gather(
        *(core.runs.create("r1", b"one", made, by("one")) for _ in range(20))
    )

    assert sum(created for _, _, created in results) == 1
    assert sum(held is not None for _, held, _ in results) == 1


async def test_a_run_belongs_to_its_tenant(core: StateCore) -> None:
    run = await create(core)

    with pytest.raises(RunNotFound):
        await core.runs.get("other", run.run_id)
    with pytest.raises(RunNotFound):
        await core.wishes.request_cancel("other", run.run_id, "no")
    for run_id in ("", "nope", run.run_id[:-1], "99" + run.run_id[2:]):
        with pytest.raises(RunNotFound):
            await core.runs.get(TENANT, run_id)


async def test_appended_events_stand_where_the_answer_says(core: StateCore) -> None:
    held = await claimed(core)

    recorded = await append(core, held.lease, 1, STARTED, TURN)

    assert [(e.seq, e.WhichOneof("kind")) for e in recorded] == [
        (2, "run_started"),
        (3, "turn_started"),
    ]
    assert await core.runs.list_events(held.lease.run_id, 1) == recorded
    run, _ = await core.runs.get(TENANT, held.lease.run_id)
    assert run.last_seq == 3
    assert run.status.state == RunStatus.STATE_RUNNING
    assert run.HasField("start_time")


async def test_a_repeated_append_returns_what_the_first_returned_however_late(
    core: StateCore,
) -> None:
    held = await claimed(core)
    first = await core.appends.append(
        held.lease, 1, "a", [Event.FromString(bytes_of(TURN))], RUNNING
    )
    last = await append(core, held.lease, 2, DONE, status=COMPLETED)
    assert len(last) == 1

    again = await core.appends.append(
        held.lease, 1, "a", [Event.FromString(bytes_of(TURN))], RUNNING
    )

    assert again == first
    assert (await core.runs.get(TENANT, held.lease.run_id))[0].last_seq == 3


async def test_an_append_of_another_writer_is_refused(core: StateCore) -> None:
    held = await claimed(core)
    stale = Lease(run_id=held.lease.run_id, fence=held.lease.fence - 1)

    with pytest.raises(StaleFence):
        await append(core, stale, 1, TURN)
    with pytest.raises(SeqConflict) as caught:
        await append(core, held.lease, 2, TURN)
    assert caught.value.metadata["last_seq"] == "1"
    await append(core, held.lease, 1, TURN)
    with pytest.raises(SeqConflict):
        await append(core, held.lease, 1, TURN)
    with pytest.raises(RunNotFound):
        await append(core, Lease(run_id=run_id_for(TENANT, "no"), fence=1), 1, TURN)


async def test_a_run_that_waits_takes_no_events(core: StateCore) -> None:
    run = await create(core)

    with pytest.raises(StaleFence):
        await append(core, Lease(run_id=run.run_id, fence=0), 1, TURN)


async def test_a_terminal_append_ends_the_run_its_lease_and_begins_its_retention(
    core: StateCore, engine: str
) -> None:
    held = await claimed(core)
    await append(core, held.lease, 1, DONE, status=COMPLETED)

    run, _ = await core.runs.get(TENANT, held.lease.run_id)
    assert run.status == COMPLETED
    assert run.HasField("end_time")
    with pytest.raises(StaleFence):
        await append(core, held.lease, 2, TURN)
    lost, *_ = await core.leases.renew(by("one"), [held.lease])
    assert lost == [run.run_id]
    p = partition_of_run(run.run_id)
    week_ms = 7 * 24 * 3600 * 1000
    for kind in ("run", "journal"):
        ttl = ask(engine, "PTTL", key(p, kind, run.run_id))
        assert isinstance(ttl, int)
        assert week_ms - 60_000 < ttl <= week_ms
    assert ask(engine, "ZCARD", key(p, "leases")) == 0
    listed, _ = await core.runs.list_runs(TENANT, ANY, "", 10, "")
    assert listed == [run]


async def test_events_are_bounded_and_of_a_kind_that_is_journalled(core: StateCore) -> None:
    held = await claimed(core)
    large = Event.FromString(bytes_of(TURN))
    large.turn_started.step = "x" * 1024 * 1024

    with pytest.raises(PayloadTooLarge) as caught:
        await append(core, held.lease, 1, large)
    assert caught.value.metadata["field"] == "events"
    assert caught.value.metadata["limit"] == str(1024 * 1024)
    for events in ([], [Event()], [Event(text_delta=TextDelta(text="x"))]):
        with pytest.raises(InvalidArgument):
            await append(core, held.lease, 1, *events)
    too_large = RunCreated(tenant=TENANT, spec=RunSpec(input="x" * 1024 * 1024))
    with pytest.raises(PayloadTooLarge):
        await core.runs.create("r2", b"", too_large, None)


async def test_a_long_journal_is_read_in_parts(core: StateCore) -> None:
    held = await claimed(core)
    big = Event.FromString(bytes_of(TURN))
    big.turn_started.step = "x" * 300_000
    for seq in range(1, 13):
        await append(core, held.lease, seq, big)
    await core.leases.release([held.lease])

    (taken,), _ = await core.schedule.poll(by("two"), 1, 0)

    assert taken.last_seq == 13
    seqs = [event.seq for event in taken.events]
    while seqs[-1] < taken.last_seq:
        events = await core.runs.list_events(taken.lease.run_id, seqs[-1])
        assert sum(event.ByteSize() for event in events) < 1024 * 1024 + 1000
        seqs += [event.seq for event in events]
    assert seqs == list(range(1, 14))
    assert await core.runs.list_events(taken.lease.run_id, 13) == []
    with pytest.raises(RunNotFound):
        await core.runs.list_events("nope", 0)


async def test_runs_are_listed_newest_first_in_pages(core: StateCore) -> None:
    specs = [RunSpec(agent="echo", session_id=session_id) for session_id in ("even", "odd")]
    made = [await create(core, f"r{i}", spec=specs[i % 2]) for i in range(130)]
    await create(core, "foreign", tenant="other")
    made.sort(key=lambda run: (run.create_time.ToMilliseconds(), run.run_id), reverse=True)

    assert await pages(core, size=7) == [run.run_id for run in made]
    assert await pages(core, size=50, session_id="even") == [
        run.run_id for run in made if run.spec.session_id == "even"
    ]
    assert await pages(core, size=50, state=RunStatus.STATE_RUNNING) == []


async def test_a_run_is_listed_as_long_as_it_is_kept(core: StateCore, engine: str) -> None:
    lasting = await create(core, "lasting")
    held = await claimed(core, "ended")
    await append(core, held.lease, 1, DONE, status=COMPLETED)
    p = partition_of_run(held.lease.run_id)
    ended = ask(engine, "ZRANGE", key(p, "ended"), 0, -1)
    assert isinstance(ended, list)
    assert ask(engine, "PTTL", key(p, "runs", TENANT)) == -1, "a run may wait for a year"

    ask(engine, "DEL", key(p, "run", held.lease.run_id))
    ask(engine, "ZADD", key(p, "ended"), 1, ended[0])  # as when its retention is over
    await core.schedule.poll(by("one"), 10, 0)

    assert await pages(core, size=50) == [lasting.run_id]
    assert ask(engine, "ZCARD", key(p, "ended")) == 0
    index = ask(engine, "ZRANGE", key(p, "runs", TENANT), 0, -1)
    assert held.lease.run_id not in str(index)


async def test_an_unended_run_and_its_request_are_remembered_without_end(
    core: StateCore, engine: str
) -> None:
    run = await create(core)

    p = partition_of_run(run.run_id)
    assert ask(engine, "PTTL", key(p, "run", run.run_id)) == -1
    assert ask(engine, "PTTL", key(p, "journal", run.run_id)) == -1


async def test_a_page_token_leads_only_through_its_own_list(core: StateCore) -> None:
    for i in range(3):
        await create(core, f"r{i}")
    _, token = await core.runs.list_runs(TENANT, ANY, "", 1, "")
    assert token

    for tenant, session_id, wrong in (
        ("other", "", token),
        (TENANT, "s", token),
        (TENANT, "", token[:-1]),
        (TENANT, "", "nonsense!"),
    ):
        with pytest.raises(InvalidPageToken):
            await core.runs.list_runs(tenant, ANY, session_id, 1, wrong)


async def test_a_cancel_is_kept_with_its_first_reason(core: StateCore) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id

    run = await core.wishes.request_cancel(TENANT, run_id, "first")
    await core.wishes.request_cancel(TENANT, run_id, "second")

    assert run.cancel_requested
    lost, asked, _ = await core.leases.renew(by("one"), [held.lease])
    assert lost == []
    assert [(c.run_id, c.reason) for c in asked.cancels] == [(run_id, "first")]

    await append(core, held.lease, 1, DONE, status=COMPLETED)
    run = await core.wishes.request_cancel(TENANT, run_id, "late")
    assert not run.cancel_requested
    assert run.status.state == RunStatus.STATE_COMPLETED


def bytes_of(event: Event) -> bytes:
    return event.SerializeToString()


async def pages(
    core: StateCore, size: int, session_id: str = "", state: RunStatus.State.ValueType = ANY
) -> list[str]:
    found: list[str] = []
    token = ""
    for _ in range(200):
        runs, token = await core.runs.list_runs(TENANT, state, session_id, size, token)
        assert len(runs) <= size
        found += [run.run_id for run in runs]
        if not token:
            return found
    raise AssertionError("the list has no end")
