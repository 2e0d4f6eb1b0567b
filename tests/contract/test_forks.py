"""A fork begins with what the other one was, in one piece, and leaves the other one as it is."""

import asyncio

import pytest
from harness.runs import (
    COMPLETED,
    DONE,
    SPEC,
    STARTED,
    TENANT,
    TURN,
    TURN_DONE,
    append,
    by,
    claimed,
    seconds,
    tail,
)  # fmt: skip

from pentad.state.v1.event_pb2 import Event, Fork, RunCreated
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus, SessionPolicy
from pentad.state.v1.session_pb2 import SessionMessage
from pentad_chassis.telemetry import silent_telemetry
from pentad_state import forks
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.core import StateCore
from pentad_state.errors import (
    EventNotFound,
    MessageNotFound,
    PayloadTooLarge,
    RequestIdReused,
    RunNotFound,
    ScheduleFull,
    SessionAlreadyExists,
    SessionNotFound,
)
from pentad_state.partitions import run_id_for

QUEUED = RunStatus(state=RunStatus.STATE_QUEUED, turns=1)


async def a_run(core: StateCore) -> Run:
    """A run of four events that goes on."""
    held = await claimed(core)
    await append(core, held.lease, 1, STARTED, TURN)
    await append(core, held.lease, 3, TURN_DONE)
    return (await core.runs.get(TENANT, held.lease.run_id))[0]


async def fork(
    core: StateCore, run_id: str, seq: int, request_id: str = "f", tenant: str = TENANT,
    spec: RunSpec = SPEC,
) -> Run:  # fmt: skip
    created = RunCreated(tenant=tenant, spec=spec, forked_from=Fork(run_id=run_id, seq=seq))
    return await core.forks.fork_run(request_id, b"print", created, QUEUED)


async def journal(core: StateCore, run_id: str) -> list[Event]:
    return await core.runs.list_events(run_id, 0)


def told(events: list[Event]) -> list[tuple[str, int, int]]:
    return [(str(e.WhichOneof("kind")), e.seq, e.time.ToMilliseconds()) for e in events]


async def test_a_fork_begins_with_the_others_events_at_their_times(core: StateCore) -> None:
    source = await a_run(core)
    before = await journal(core, source.run_id)

    forked = await fork(core, source.run_id, 3)

    assert forked.run_id == run_id_for(TENANT, "f")
    assert forked.status == QUEUED
    events = await journal(core, forked.run_id)
    assert told(events[:3]) == told(before[:3])
    assert {event.run_id for event in events} == {forked.run_id}
    assert events[0].run_created.forked_from == Fork(run_id=source.run_id, seq=3)
    last = events[3].run_forked
    assert last.fork == Fork(run_id=source.run_id, seq=3)
    assert last.last_time == before[2].time
    assert forked.last_seq == len(events) == 4
    assert await journal(core, source.run_id) == before


async def test_a_fork_is_claimed_worked_on_and_followed_like_any_run(core: StateCore) -> None:
    source = await a_run(core)
    forked = await fork(core, source.run_id, 2)

    (held,) = (await core.schedule.poll(by("two"), 10, 0))[0]

    assert held.lease.run_id == forked.run_id
    assert held.events == await journal(core, forked.run_id)
    await append(core, held.lease, held.last_seq, DONE, status=COMPLETED)
    assert [e.seq for e in await tail(core, forked.run_id)] == [1, 2, 3, 4]
    listed, _ = await core.runs.list_runs(TENANT, RunStatus.STATE_UNSPECIFIED, "", 0, "")
    assert [run.run_id for run in listed] == [forked.run_id, source.run_id]


async def test_a_repeated_fork_is_the_first_one(core: StateCore) -> None:
    source = await a_run(core)

    made = await asyncio.gather(*(fork(core, source.run_id, 3) for _ in range(5)))

    assert len({run.run_id for run in made}) == 1
    assert len(await journal(core, made[0].run_id)) == 4
    there = Fork(run_id=source.run_id, seq=2)
    created = RunCreated(tenant=TENANT, spec=SPEC, forked_from=there)
    with pytest.raises(RequestIdReused):
        await core.forks.fork_run("f", b"other print", created, QUEUED)


async def test_a_fork_of_a_fork(core: StateCore) -> None:
    source = await a_run(core)
    first = await fork(core, source.run_id, 3)

    second = await fork(core, first.run_id, 4, "g")

    kinds = [str(e.WhichOneof("kind")) for e in await journal(core, second.run_id)]
    assert kinds == ["run_created", "run_started", "turn_started", "run_forked", "run_forked"]


async def test_a_fork_needs_an_event_that_is_there(core: StateCore) -> None:
    source = await a_run(core)

    for seq in (0, 5):
        with pytest.raises(EventNotFound) as caught:
            await fork(core, source.run_id, seq)
        assert caught.value.metadata == {
            "run_id": source.run_id, "seq": str(seq), "last_seq": "4",
        }  # fmt: skip
    with pytest.raises(RunNotFound):
        await core.runs.get(TENANT, run_id_for(TENANT, "f"))


async def test_tenants_never_meet(core: StateCore) -> None:
    source = await a_run(core)

    with pytest.raises(RunNotFound):
        await fork(core, source.run_id, 2, tenant="other")
    with pytest.raises(RunNotFound):
        await fork(core, run_id_for(TENANT, "nobody"), 1)


async def test_a_fork_is_bounded(core: StateCore, monkeypatch: pytest.MonkeyPatch) -> None:
    source = await a_run(core)
    monkeypatch.setattr(forks, "FORK_BYTES", 150)

    with pytest.raises(PayloadTooLarge) as caught:
        await fork(core, source.run_id, 4)

    assert caught.value.metadata["field"] == "events"
    await fork(core, source.run_id, 1)


async def test_a_full_schedule_takes_no_fork(engine: str, core: StateCore) -> None:
    source = await a_run(core)
    tight = Config(max_queued=64)
    async with open_core(engine, tight, silent_telemetry("state")) as full:
        made = await asyncio.gather(
            *(fork(full, source.run_id, 2, f"f{number}") for number in range(200)),
            return_exceptions=True,
        )

    assert {type(each) for each in made} == {Run, ScheduleFull}
    assert sum(isinstance(each, Run) for each in made) <= 64


async def say(core: StateCore, *texts: str, session_id: str = "s", append_id: str = "a") -> None:
    messages = [SessionMessage(run_id=append_id, message=Message(text=text)) for text in texts]
    await core.sessions.append(TENANT, session_id, append_id, messages, seconds(3600))


async def said(core: StateCore, session_id: str) -> list[tuple[int, str, int]]:
    found, _ = await core.sessions.list_messages(TENANT, session_id, 500, "")
    return [(m.seq, m.message.text, m.time.ToMilliseconds()) for m in found]


async def test_a_session_begins_with_the_others_messages_at_their_places(core: StateCore) -> None:
    await say(core, *map(str, range(60)))
    await say(core, "later", append_id="b")

    forked = await core.forks.fork_session(TENANT, "s", 55, "t", "f")

    assert forked == await core.sessions.get(TENANT, "t")
    assert (forked.session_id, forked.last_seq) == ("t", 55)
    assert forked.expire_time.seconds - forked.update_time.seconds == 3600
    assert await said(core, "t") == (await said(core, "s"))[:55]
    await say(core, "another way", session_id="t", append_id="c")
    assert (await said(core, "t"))[-1][:2] == (56, "another way")
    assert (await core.sessions.get(TENANT, "s")).last_seq == 61
    listed, _ = await core.sessions.list_sessions(TENANT, 0, "")
    assert {session.session_id for session in listed} == {"s", "t"}


async def test_a_repeated_fork_of_a_session_changes_nothing(core: StateCore) -> None:
    await say(core, "one", "two")

    first = await core.forks.fork_session(TENANT, "s", 1, "t", "f")
    await say(core, "more", session_id="t", append_id="c")

    again = await core.forks.fork_session(TENANT, "s", 1, "t", "f")
    assert (first.last_seq, again.last_seq) == (1, 2)
    with pytest.raises(SessionAlreadyExists):
        await core.forks.fork_session(TENANT, "s", 1, "t", "g")
    with pytest.raises(SessionAlreadyExists):
        await core.forks.fork_session(TENANT, "s", 1, "s", "f")


async def test_a_fork_does_not_step_into_a_session_that_somebody_is_at(core: StateCore) -> None:
    await say(core, "one")
    enqueue = SessionPolicy.SESSION_POLICY_ENQUEUE
    await core.slots.enter(TENANT, "t", run_id_for(TENANT, "r"), enqueue)

    with pytest.raises(SessionAlreadyExists):
        await core.forks.fork_session(TENANT, "s", 1, "t", "f")


async def test_a_fork_of_a_session_needs_a_message_that_is_there(core: StateCore) -> None:
    await say(core, "one", "two")

    for seq in (0, 3):
        with pytest.raises(MessageNotFound) as caught:
            await core.forks.fork_session(TENANT, "s", seq, "t", "f")
        assert caught.value.metadata == {"session_id": "s", "seq": str(seq), "last_seq": "2"}
    with pytest.raises(SessionNotFound):
        await core.forks.fork_session(TENANT, "nope", 1, "t", "f")
    with pytest.raises(SessionNotFound):
        await core.forks.fork_session("other", "s", 1, "t", "f")


async def test_messages_that_went_are_not_forked(engine: str, core: StateCore) -> None:
    few = Config(session_messages_max=1000)
    async with open_core(engine, few, silent_telemetry("state")) as tight:
        for number in range(11):
            await say(tight, *["x"] * 100, append_id=str(number))

    forked = await core.forks.fork_session(TENANT, "s", 101, "t", "f")

    assert forked.last_seq == 101
    assert [seq for seq, _, _ in await said(core, "t")] == [101]
    with pytest.raises(MessageNotFound):
        await core.forks.fork_session(TENANT, "s", 100, "u", "f")


async def test_a_fork_of_a_session_is_bounded(
    core: StateCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(core, "x" * 1000)
    monkeypatch.setattr(forks, "FORK_BYTES", 500)

    with pytest.raises(PayloadTooLarge) as caught:
        await core.forks.fork_session(TENANT, "s", 1, "t", "f")

    assert caught.value.metadata["field"] == "messages"


async def test_nothing_of_a_fork_stays_when_the_session_is_deleted(
    core: StateCore,
) -> None:
    await say(core, "one")
    await core.forks.fork_session(TENANT, "s", 1, "t", "f")

    await core.sessions.delete(TENANT, "s")
    await core.sessions.delete(TENANT, "t")

    assert (await core.sessions.list_sessions(TENANT, 0, ""))[0] == []
