"""One run of a session is active at a time; the others line up, and each is told its turn."""

import asyncio

import pytest
from harness.engines import ask
from harness.runs import TENANT, append, by, create

from pentad.state.v1.event_pb2 import Event, RunFailed
from pentad.state.v1.job_pb2 import Queue
from pentad.state.v1.message_pb2 import Message
from pentad.state.v1.run_pb2 import Run, RunSpec, RunStatus, SessionPolicy
from pentad.state.v1.session_pb2 import Session, SessionMessage
from pentad_chassis.errors import InvalidArgument
from pentad_state.core import StateCore
from pentad_state.errors import (
    PayloadTooLarge,
    SessionBusy,
    SessionNotFound,
    SessionQueueFull,
)
from pentad_state.orders import slot_keys
from pentad_state.partitions import partition_of, run_id_for
from pentad_state.slots import LINE_MAX, Standing

ENQUEUE, REJECT, INTERRUPT, ROLL_BACK = (
    SessionPolicy.SESSION_POLICY_ENQUEUE,
    SessionPolicy.SESSION_POLICY_REJECT,
    SessionPolicy.SESSION_POLICY_INTERRUPT,
    SessionPolicy.SESSION_POLICY_ROLL_BACK,
)
FAILED = RunStatus(state=RunStatus.STATE_FAILED)


def named(name: str) -> str:
    return run_id_for(TENANT, name)


A, B, C, D = map(named, "abcd")
FREE, BEHIND_A = Standing(0), Standing(0, A)


async def enter(
    core: StateCore, run_id: str, policy: SessionPolicy.ValueType = ENQUEUE
) -> Standing:
    return await core.slots.enter(TENANT, "s", run_id, policy)


async def leave(core: StateCore, run_id: str) -> None:
    await core.slots.leave(TENANT, "s", run_id)


async def answer(
    core: StateCore, run_id: str, text: str, leaves: str | None = None
) -> Session | None:
    messages = [SessionMessage(run_id=run_id, message=Message(text=text))]
    who = run_id if leaves is None else leaves
    return await core.sessions.append(TENANT, "s", run_id, messages, None, leaves=who)


async def said(core: StateCore) -> list[str]:
    messages, _ = await core.sessions.window(TENANT, "s", 0, 0, 0)
    return [message.text for message in messages]


async def jobs(core: StateCore) -> list[tuple[str, str]]:
    """Return what is to be told to whom, and have it done."""
    taken = await core.jobs.claim(partition_of(TENANT, "s"), Queue.QUEUE_RUNS, 60_000, 100)
    found = []
    for each in taken.jobs:
        await core.jobs.complete(each.job.place, each.job.job_id, each.fence)
        if each.job.HasField("signal_run"):
            assert each.job.signal_run.event.HasField("session_entered")
            found.append(("tell", each.job.signal_run.run_id))
        else:
            found.append((each.job.cancel_run.reason, each.job.cancel_run.run_id))
    return found


async def a_run(core: StateCore, name: str, policy: SessionPolicy.ValueType = ENQUEUE) -> Run:
    wish = RunSpec(agent="echo", input="x", session_id="s", session_policy=policy)
    return await create(core, name, spec=wish)


async def end(core: StateCore, run_id: str) -> None:
    """Have a run end without an answer."""
    held = next(
        each
        for each in (await core.schedule.poll(by("one"), 100, 0))[0]
        if each.lease.run_id == run_id
    )
    failed = Event(run_failed=RunFailed())
    await append(core, held.lease, held.last_seq, failed, status=FAILED)


async def test_the_first_is_active_and_the_others_line_up(core: StateCore) -> None:
    assert await enter(core, A) == FREE
    assert await enter(core, B) == BEHIND_A
    assert await enter(core, C) == BEHIND_A
    assert await enter(core, A) == FREE
    assert await enter(core, B) == BEHIND_A
    assert await jobs(core) == []

    await answer(core, A, "one")

    assert await jobs(core) == [("tell", B)]
    entered = await enter(core, B)
    assert (entered.active_run_id, entered.session) == ("", await core.sessions.get(TENANT, "s"))
    assert (await enter(core, C)).active_run_id == B


async def test_leaving_twice_lets_one_in(core: StateCore) -> None:
    for run_id in (A, B, C):
        await enter(core, run_id)

    await answer(core, A, "one")
    await answer(core, A, "one")
    await leave(core, A)

    assert await said(core) == ["one"]
    assert await jobs(core) == [("tell", B)]
    assert (await enter(core, C)).active_run_id == B


async def test_who_leaves_the_line_is_passed_over(core: StateCore) -> None:
    for run_id in (A, B, C):
        await enter(core, run_id)

    await leave(core, B)
    await leave(core, A)

    assert await jobs(core) == [("tell", C)]
    await leave(core, C)
    assert await jobs(core) == []
    assert await enter(core, D) == FREE


async def test_nothing_is_left_of_a_session_that_nobody_is_at(engine: str, core: StateCore) -> None:
    for run_id in (A, B):
        await enter(core, run_id)
    for run_id in (A, B):
        await leave(core, run_id)

    assert ask(engine, "EXISTS", slot_keys(TENANT, "s")[0]) == 0
    assert ask(engine, "EXISTS", slot_keys(TENANT, "s")[1]) == 0


async def test_an_interrupter_goes_ahead_and_has_the_active_run_cancelled(core: StateCore) -> None:
    await enter(core, A)
    await enter(core, B)

    assert await enter(core, C, INTERRUPT) == BEHIND_A

    assert await jobs(core) == [(f"interrupted by run {C}", A)]
    assert await enter(core, C, INTERRUPT) == BEHIND_A
    assert await jobs(core) == []
    await leave(core, A)
    assert await jobs(core) == [("tell", C)]
    assert (await enter(core, C, INTERRUPT)).interrupted == (A,)
    await answer(core, A, "what A had done", leaves="")
    assert (await enter(core, C, INTERRUPT)).interrupted == ()
    await answer(core, C, "C")
    assert await jobs(core) == [("tell", B)]
    assert (await enter(core, B)).interrupted == ()
    assert await said(core) == ["what A had done", "C"]


async def test_who_completes_before_it_is_interrupted_has_said_it_all(core: StateCore) -> None:
    await enter(core, A)
    await enter(core, B, INTERRUPT)

    await answer(core, A, "just in time")

    assert (await enter(core, B, INTERRUPT)).interrupted == ()
    assert await said(core) == ["just in time"]


async def test_interrupters_interrupt_each_other_in_order(core: StateCore) -> None:
    await enter(core, A)
    await enter(core, D)
    await enter(core, B, INTERRUPT)
    await enter(core, C, INTERRUPT)
    assert await jobs(core) == [(f"interrupted by run {B}", A)]

    await leave(core, A)

    assert sorted(await jobs(core)) == [(f"interrupted by run {C}", B), ("tell", B)]
    await leave(core, B)
    assert await jobs(core) == [("tell", C)]
    assert (await enter(core, C, INTERRUPT)).interrupted == (A, B)


async def test_what_is_rolled_back_leaves_nothing(core: StateCore) -> None:
    await enter(core, A)
    await enter(core, B, ROLL_BACK)
    assert await jobs(core) == [(f"interrupted by run {B}", A)]

    await leave(core, A)

    assert await enter(core, B, ROLL_BACK) == FREE
    assert await said(core) == []


async def test_who_completes_while_it_is_rolled_back_leaves_nothing_either(
    core: StateCore,
) -> None:
    await enter(core, A)
    await enter(core, B, ROLL_BACK)

    assert await answer(core, A, "too late") is None
    assert await answer(core, A, "too late") is None

    assert await said(core) == []
    with pytest.raises(SessionNotFound):
        await core.sessions.get(TENANT, "s")
    assert (await enter(core, B)).active_run_id == ""
    assert await answer(core, B, "B") is not None
    assert await said(core) == ["B"]


async def test_what_a_rolled_back_run_may_not_add_leaves_the_rest(core: StateCore) -> None:
    await enter(core, A)
    await answer(core, A, "A")
    await enter(core, B)
    await enter(core, C, ROLL_BACK)

    session = await answer(core, B, "B")

    assert session is not None
    assert session.last_seq == 1
    assert await said(core) == ["A"]


async def test_a_full_line_takes_nobody_more(core: StateCore) -> None:
    await enter(core, A)
    for number in range(LINE_MAX):
        await enter(core, named(f"q{number}"))

    with pytest.raises(SessionQueueFull) as caught:
        await enter(core, B)

    assert caught.value.metadata == {"session_id": "s", "limit": str(LINE_MAX)}
    assert (await enter(core, named("q0"))).active_run_id == A
    await leave(core, A)
    assert (await enter(core, B)).active_run_id == named("q0")


async def test_an_active_run_that_has_ended_is_passed_over(core: StateCore) -> None:
    ended = await a_run(core, "a")
    await enter(core, ended.run_id)
    assert (await enter(core, B)).active_run_id == ended.run_id
    await end(core, ended.run_id)

    assert (await enter(core, C)).active_run_id == B

    assert await jobs(core) == [("tell", B)]


async def test_an_active_run_that_was_never_recorded_is_passed_over_in_time(
    engine: str, core: StateCore
) -> None:
    await enter(core, A)
    slot = slot_keys(TENANT, "s")[0]
    since = ask(engine, "HGET", slot, "since")
    assert isinstance(since, bytes)

    ask(engine, "HSET", slot, "since", str(int(since) - 59_000))
    assert (await enter(core, B)).active_run_id == A
    ask(engine, "HSET", slot, "since", str(int(since) - 61_000))

    assert (await enter(core, B)).active_run_id == ""


async def test_a_run_that_waits_is_never_passed_over_for_its_age(
    engine: str, core: StateCore
) -> None:
    waits = await a_run(core, "a")
    await enter(core, waits.run_id)
    ask(engine, "HSET", slot_keys(TENANT, "s")[0], "since", "1")

    assert (await enter(core, B)).active_run_id == waits.run_id


async def test_a_busy_session_rejects_at_creation(core: StateCore) -> None:
    await enter(core, A)

    with pytest.raises(SessionBusy) as caught:
        await a_run(core, "b", REJECT)

    assert caught.value.metadata == {"session_id": "s", "run_id": A}
    assert (await core.runs.list_runs(TENANT, RunStatus.STATE_UNSPECIFIED, "", 0, ""))[0] == []
    await leave(core, A)
    accepted = await a_run(core, "b", REJECT)
    assert accepted.run_id == B
    assert (await enter(core, C)).active_run_id == B
    assert await a_run(core, "b", REJECT) == accepted


async def test_a_repeated_creation_is_not_rejected(core: StateCore) -> None:
    first = await a_run(core, "b", REJECT)
    await enter(core, B)
    await leave(core, B)
    await enter(core, A)

    assert await a_run(core, "b", REJECT) == first
    assert (await enter(core, C)).active_run_id == A


async def test_of_many_that_reject_one_is_accepted(core: StateCore) -> None:
    made = await asyncio.gather(
        *(a_run(core, f"r{i}", REJECT) for i in range(20)), return_exceptions=True
    )

    accepted = [each for each in made if isinstance(each, Run)]
    busy = [each for each in made if isinstance(each, SessionBusy)]
    assert (len(accepted), len(busy)) == (1, 19)
    assert {each.metadata["run_id"] for each in busy} == {accepted[0].run_id}


async def test_a_creation_that_is_refused_keeps_nobody_out(core: StateCore) -> None:
    spec = RunSpec(agent="echo", input="x", session_id="s", session_policy=REJECT)
    spec.start_time.GetCurrentTime()
    spec.start_time.seconds += 400 * 24 * 3600

    with pytest.raises(InvalidArgument):
        await create(core, "b", spec=spec)

    assert await enter(core, A) == FREE


async def test_who_rejects_and_is_there_already_lines_up(core: StateCore) -> None:
    await enter(core, A)

    assert await enter(core, B, REJECT) == BEHIND_A


async def test_a_deleted_session_keeps_who_is_at_it(core: StateCore) -> None:
    await enter(core, A)
    await answer(core, A, "one")
    for run_id in (B, C):
        await enter(core, run_id)

    await core.sessions.delete(TENANT, "s")

    assert await said(core) == []
    assert (await enter(core, C)).active_run_id == B
    await answer(core, B, "two")
    assert await said(core) == ["two"]
    assert await jobs(core) == [("tell", C)]


async def test_a_deleted_session_forgets_what_was_interrupted(core: StateCore) -> None:
    await enter(core, A)
    await enter(core, B, INTERRUPT)
    await leave(core, A)

    await core.sessions.delete(TENANT, "s")

    assert (await enter(core, B, INTERRUPT)).interrupted == ()


async def test_tenants_never_meet(core: StateCore) -> None:
    await enter(core, A)

    other = await core.slots.enter("other", "s", run_id_for("other", "x"), ENQUEUE)

    assert other == FREE


async def test_names_are_checked(core: StateCore) -> None:
    with pytest.raises(InvalidArgument):
        await enter(core, "no run")
    with pytest.raises(InvalidArgument):
        await answer(core, A, "x", leaves="no run")
    with pytest.raises(InvalidArgument):
        await core.slots.enter(TENANT, "", A, ENQUEUE)
    with pytest.raises(PayloadTooLarge):
        await core.slots.enter(TENANT, "s" * 1000, A, ENQUEUE)
