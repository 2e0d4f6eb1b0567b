"""What a run is told reaches whoever holds it, once, and stands until its journal holds it."""

import asyncio

import pytest
from harness.engines import ask
from harness.runs import (
    COMPLETED,
    DONE,
    NOTHING,
    PAUSED,
    RESTS,
    RUNNING,
    TENANT,
    TURN,
    append,
    by,
    claimed,
    create,
    numbers,
    waiting,
    word,
)

from pentad.state.v1.event_pb2 import ChildEnded, Event, RunCreated
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import ClaimedRun
from pentad_chassis.errors import Code, InvalidArgument
from pentad_state.appends import Beside
from pentad_state.core import StateCore
from pentad_state.errors import InboxFull, PayloadTooLarge, RunNotFound, StaleFence
from pentad_state.inbox import SIGNAL_BYTES, UNHEARD_MAX
from pentad_state.partitions import key, partition_of_run


async def tell(core: StateCore, run_id: str, number: int, signal_id: str = "") -> bool:
    """Tell a run something; return whether it had ended."""
    return await core.wishes.signal(TENANT, run_id, signal_id or f"s{number}", word(number))


async def hear(core: StateCore, held: ClaimedRun, seq: int, upto: int) -> None:
    """Journal all that the run was told up to a number."""
    await append(core, held.lease, seq, TURN, beside=Beside(heard=upto))


async def take_one(core: StateCore) -> ClaimedRun:
    (held,), _ = await core.schedule.poll(by("two"), 1, 5)
    return held


async def test_an_owner_hears_at_once_and_with_every_renewal_until_it_is_journalled(
    core: StateCore,
) -> None:
    held = await claimed(core, owner="one")
    run_id = held.lease.run_id
    for told in range(100):  # what is announced before anybody listens is not heard at once
        polling = asyncio.create_task(core.schedule.poll(by("one"), 0, 1))
        await asyncio.sleep(0)
        assert await tell(core, run_id, told) is False
        runs, asked = await polling
        if asked.signals:
            break

    (signals,) = asked.signals
    assert (runs, asked.cancels, asked.pauses) == ([], [], [])
    assert (signals.run_id, signals.first) == (run_id, 1)
    assert numbers(signals) == list(range(told + 1))
    assert signals.events[0].time.seconds > 0
    assert signals.events[0].seq == 0, "it has no place in the journal yet"
    for _ in range(2):
        _, asked, _ = await core.leases.renew(by("one"), [held.lease])
        assert asked.signals == [signals]
    await hear(core, held, 1, told + 1)
    assert (await core.leases.renew(by("one"), [held.lease])).asked == NOTHING


async def test_what_is_heard_leaves_the_rest_and_its_numbers(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    for number in range(5):
        await tell(core, held.lease.run_id, number)

    await hear(core, held, 1, 2)

    _, asked, _ = await core.leases.renew(by("one"), [held.lease])
    (signals,) = asked.signals
    assert (signals.first, numbers(signals)) == (3, [2, 3, 4])
    await hear(core, held, 2, 1)  # said late, by an append that knew less
    _, asked, _ = await core.leases.renew(by("one"), [held.lease])
    assert asked.signals == [signals]


async def test_more_than_was_told_is_not_heard_in_advance(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    await tell(core, held.lease.run_id, 0)

    await hear(core, held, 1, 9)
    await tell(core, held.lease.run_id, 1)

    _, asked, _ = await core.leases.renew(by("one"), [held.lease])
    assert [(s.first, numbers(s)) for s in asked.signals] == [(2, [1])]


async def test_a_signal_is_heard_once_over_a_crash_between_claim_and_append(
    core: StateCore,
) -> None:
    run_id = await waiting(core)
    await tell(core, run_id, 1)
    (first,), _ = await core.schedule.poll(by("dies", 0.2), 1, 5)
    assert numbers(first.signals) == [1]

    second = await take_one(core)  # once the lease of the dead one is over

    assert second.owner_lost
    assert (second.signals.first, numbers(second.signals)) == (1, [1])
    await hear(core, second, second.last_seq, 1)
    with pytest.raises(StaleFence):
        await hear(core, first, second.last_seq, 1)
    await core.leases.release([second.lease])
    assert not (await take_one(core)).HasField("signals")


async def test_an_append_whose_answer_is_lost_hears_once(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    for number in range(3):
        await tell(core, held.lease.run_id, number)

    async def journal() -> list[Event]:
        turn = Event(turn_started=TURN.turn_started)
        heard = Beside(heard=2)
        return await core.appends.append(held.lease, 1, "once", [turn], RUNNING, heard)

    assert await journal() == await journal()
    _, asked, _ = await core.leases.renew(by("one"), [held.lease])
    assert [(s.first, numbers(s)) for s in asked.signals] == [(3, [2])]


async def test_a_repeated_signal_changes_nothing_however_late(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    await tell(core, held.lease.run_id, 1, "same")
    await tell(core, held.lease.run_id, 2, "same")
    await hear(core, held, 1, 1)
    await tell(core, held.lease.run_id, 3, "same")

    assert (await core.leases.renew(by("one"), [held.lease])).asked == NOTHING


async def test_of_many_at_once_each_is_heard_in_one_order(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    run_id = held.lease.run_id

    await asyncio.gather(*(tell(core, run_id, n % 20) for n in range(60)))

    _, asked, _ = await core.leases.renew(by("one"), [held.lease])
    (signals,) = asked.signals
    assert sorted(numbers(signals)) == list(range(20))
    await core.leases.release([held.lease])
    assert (await take_one(core)).signals == signals


async def test_a_run_that_nobody_holds_keeps_what_it_is_told(core: StateCore) -> None:
    queued = (await create(core, "queued")).run_id
    await tell(core, queued, 1)
    assert numbers((await take_one(core)).signals) == [1]

    held = await claimed(core, "rests")
    await core.wishes.request_pause(TENANT, held.lease.run_id, "lunch")
    await append(core, held.lease, 1, RESTS, status=PAUSED)
    await tell(core, held.lease.run_id, 2)
    run, _ = await core.runs.get(TENANT, held.lease.run_id)
    assert run.status.state == RunStatus.STATE_PAUSED, "only a person lets it go on"
    await core.wishes.request_cancel(TENANT, held.lease.run_id, "enough")
    taken = await take_one(core)
    assert (taken.cancel_reason, numbers(taken.signals)) == ("enough", [2])


async def test_a_run_that_has_ended_is_told_nothing(core: StateCore, engine: str) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id
    await tell(core, run_id, 1)
    await append(core, held.lease, 1, DONE, status=COMPLETED)

    assert await tell(core, run_id, 2) is True
    assert await tell(core, run_id, 1) is True

    p = partition_of_run(run_id)
    for kind in ("inbox", "told"):
        assert ask(engine, "EXISTS", key(p, kind, run_id)) == 0, kind


async def test_only_the_tenant_of_a_run_tells_it_something(core: StateCore) -> None:
    run_id = (await create(core)).run_id

    for tenant, named in (("other", run_id), (TENANT, "nope")):
        with pytest.raises(RunNotFound):
            await core.wishes.signal(tenant, named, "s", word(1))


async def test_an_inbox_has_an_end(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    run_id = held.lease.run_id
    await asyncio.gather(*(tell(core, run_id, n) for n in range(UNHEARD_MAX)))

    with pytest.raises(InboxFull) as caught:
        await tell(core, run_id, UNHEARD_MAX)

    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert caught.value.retry_after_s
    assert await tell(core, run_id, 0) is False, "it was told that before"
    await hear(core, held, 1, 1)
    assert await tell(core, run_id, UNHEARD_MAX) is False


async def test_what_is_told_is_bounded_and_can_be_journalled(core: StateCore) -> None:
    run_id = (await create(core)).run_id
    large = Event(child_ended=ChildEnded(key="x" * SIGNAL_BYTES))

    with pytest.raises(PayloadTooLarge):
        await core.wishes.signal(TENANT, run_id, "s", large)
    for wrong in (Event(), Event(run_created=RunCreated())):
        with pytest.raises(InvalidArgument):
            await core.wishes.signal(TENANT, run_id, "s", wrong)
    with pytest.raises(InvalidArgument):
        await core.wishes.signal(TENANT, run_id, "", word(1))


async def test_large_signals_come_one_answer_after_the_other(core: StateCore) -> None:
    held = await claimed(core, owner="one")
    run_id = held.lease.run_id
    for number in range(3):
        large = Event(child_ended=ChildEnded(key="x" * (SIGNAL_BYTES - 100), index=number))
        await core.wishes.signal(TENANT, run_id, f"s{number}", large)

    heard = []
    for seq in range(1, 4):
        _, asked, _ = await core.leases.renew(by("one"), [held.lease])
        (signals,) = asked.signals
        assert signals.first == seq
        heard += numbers(signals)
        await hear(core, held, seq, seq)

    assert heard == [0, 1, 2]
