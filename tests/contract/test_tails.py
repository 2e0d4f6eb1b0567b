"""Tails give every event once, in order, from any cursor on."""

import asyncio
import time

import pytest
from harness.engines import ask
from harness.runs import (
    COMPLETED,
    DONE,
    STARTED,
    TENANT,
    TURN,
    TURN_AGAIN,
    TURN_DONE,
    append,
    by,
    claimed,
    create,
    say,
    tail,
)

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_service_pb2 import Lease
from pentad_state.core import StateCore
from pentad_state.cursor import to_cursor
from pentad_state.errors import InvalidCursor, RunNotFound
from pentad_state.partitions import key, partition_of_run

KINDS = [
    "run_created",
    "run_started",
    "turn_started",
    "text_delta",
    "turn_restarted",
    "text_delta",
    "turn_completed",
    "run_completed",
]


async def finished(core: StateCore) -> str:
    """A run whose first attempt at its turn was lost in the middle of its text."""
    held = await claimed(core)
    await append(core, held.lease, 1, STARTED, TURN)
    await say(core, held.lease, 3, 0, "hal")
    await append(core, held.lease, 3, TURN_AGAIN)
    await say(core, held.lease, 4, 0, "grü")
    await say(core, held.lease, 4, 4, "ße")
    await append(core, held.lease, 4, TURN_DONE, DONE, status=COMPLETED)
    return held.lease.run_id


def kinds(events: list[Event]) -> list[str | None]:
    return [event.WhichOneof("kind") for event in events]


async def test_a_tail_from_the_beginning_has_every_event_and_the_text_between(
    core: StateCore,
) -> None:
    run_id = await finished(core)

    events = await tail(core, run_id)

    assert kinds(events) == KINDS
    assert [e.seq for e in events] == [1, 2, 3, 3, 4, 4, 5, 6]
    assert {e.run_id for e in events} == {run_id}
    assert all(e.time.seconds > 0 for e in events)
    lost, kept = (e.text_delta for e in events if e.HasField("text_delta"))
    assert (lost.turn, lost.offset, lost.text) == (1, 0, "hal")
    assert (kept.turn, kept.offset, kept.text) == (1, 0, "grüße")


async def test_a_tail_goes_on_behind_any_cursor(core: StateCore) -> None:
    run_id = await finished(core)
    events = await tail(core, run_id)

    for i, event in enumerate(events):
        assert [e.cursor for e in await tail(core, run_id, event.cursor)] == [
            e.cursor for e in events[i + 1 :]
        ]


async def test_a_tail_goes_on_in_the_middle_of_a_text(core: StateCore) -> None:
    run_id = await finished(core)

    events = await tail(core, run_id, to_cursor(run_id, 4, 4))

    assert kinds(events) == ["text_delta", "turn_completed", "run_completed"]
    assert (events[0].text_delta.offset, events[0].text_delta.text) == (4, "ße")
    assert events[0].text_delta.turn == 1


async def test_a_tail_follows_what_comes(core: StateCore) -> None:
    run = await create(core)
    following = asyncio.create_task(tail(core, run.run_id))
    (held,), _ = await core.schedule.poll(by("one"), 1, 0)

    begun = time.monotonic()
    await append(core, held.lease, 1, STARTED, TURN)
    for i, letter in enumerate("hello"):
        await say(core, held.lease, 3, i, letter)
        await asyncio.sleep(0.02)
    await append(core, held.lease, 3, TURN_DONE, DONE, status=COMPLETED)
    events = await following

    assert time.monotonic() - begun < 2
    text = "".join(e.text_delta.text for e in events)
    assert text == "hello"
    offset = 0
    for event in events:
        if event.HasField("text_delta"):
            assert event.text_delta.offset == offset
            offset += len(event.text_delta.text)
    assert len({e.cursor for e in events}) == len(events)
    assert offset == 5


async def test_text_that_is_gone_is_skipped(core: StateCore, engine: str) -> None:
    run_id = await finished(core)
    p = partition_of_run(run_id)
    ask(engine, "DEL", key(p, "text", run_id, "3"), key(p, "text", run_id, "4"))

    assert kinds(await tail(core, run_id)) == [kind for kind in KINDS if kind != "text_delta"]
    assert kinds(await tail(core, run_id, to_cursor(run_id, 4, 4))) == KINDS[-2:]


async def test_text_that_is_gone_in_part_is_missed_by_nobody_who_has_seen_it(
    core: StateCore, engine: str
) -> None:
    """A store that lost its last moments holds less of a text than its readers were shown."""
    held = await claimed(core)
    run_id = held.lease.run_id
    await append(core, held.lease, 1, STARTED, TURN)
    await say(core, held.lease, 3, 0, "seen by all")
    ask(engine, "SET", key(partition_of_run(run_id), "text", run_id, "3"), "seen")
    following = asyncio.create_task(tail(core, run_id, to_cursor(run_id, 3, 11)))
    await say(core, held.lease, 3, 11, ", and more")
    await append(core, held.lease, 3, TURN_DONE, DONE, status=COMPLETED)

    assert kinds(await following) == ["turn_completed", "run_completed"]


async def test_only_text_that_continues_a_turn_in_progress_is_kept(core: StateCore) -> None:
    held = await claimed(core)
    await append(core, held.lease, 1, STARTED, TURN)
    await say(core, held.lease, 3, 0, "one")
    await say(core, held.lease, 3, 0, "one")  # a repeat
    await say(core, held.lease, 3, 7, "gap")
    await say(core, held.lease, 2, 0, "other turn")
    await say(core, Lease(run_id=held.lease.run_id, fence=9), 3, 3, "other owner")
    await append(core, held.lease, 3, TURN_DONE)
    await say(core, held.lease, 3, 3, "late")
    await append(core, held.lease, 4, DONE, status=COMPLETED)

    deltas = [e.text_delta for e in await tail(core, held.lease.run_id) if e.text_delta.text]

    assert [(delta.offset, delta.text) for delta in deltas] == [(0, "one")]


async def test_text_of_an_event_that_begins_no_turn_is_never_shown(core: StateCore) -> None:
    held = await claimed(core)
    await say(core, held.lease, 1, 0, "stray")
    await append(core, held.lease, 1, DONE, status=COMPLETED)
    run_id = held.lease.run_id

    assert kinds(await tail(core, run_id)) == ["run_created", "run_completed"]
    assert kinds(await tail(core, run_id, to_cursor(run_id, 1))) == ["run_completed"]


async def test_a_cursor_that_is_none_of_the_run_is_refused(core: StateCore) -> None:
    run_id = await finished(core)
    other = await create(core, "other")

    for cursor in (
        "nonsense",
        to_cursor(other.run_id, 1),
        to_cursor(run_id, 7),
        to_cursor(run_id, 4, 3),  # inside of a character
        to_cursor(run_id, 2**63),
    ):
        with pytest.raises(InvalidCursor) as caught:
            await tail(core, run_id, cursor)
        assert caught.value.metadata == {"field": "after"}


async def test_a_tail_of_an_unknown_run_is_refused(core: StateCore) -> None:
    run = await create(core, tenant="other")

    for run_id in ("nope", run.run_id):
        with pytest.raises(RunNotFound):
            await tail(core, run_id)


async def test_a_long_journal_comes_whole_in_answers_of_bounded_size(core: StateCore) -> None:
    held = await claimed(core)
    big = Event.FromString(TURN.SerializeToString())
    big.turn_started.step = "x" * 200_000
    for seq in range(1, 21):
        await append(core, held.lease, seq, big)
    await append(core, held.lease, 21, *[TURN_DONE] * 150, DONE, status=COMPLETED)

    seqs = []
    async for batch in core.tails.tail(TENANT, held.lease.run_id, ""):
        assert sum(event.ByteSize() for event in batch) <= 1024 * 1024
        seqs += [event.seq for event in batch]

    assert seqs == list(range(1, 173))


async def test_waiting_ends_with_the_run_or_with_patience(core: StateCore) -> None:
    held = await claimed(core)
    run_id = held.lease.run_id

    run = await core.tails.wait(TENANT, run_id, 0.1)
    assert not run.HasField("end_time")

    waiting = asyncio.create_task(core.tails.wait(TENANT, run_id, 20))
    await asyncio.sleep(0.05)
    begun = time.monotonic()
    await append(core, held.lease, 1, DONE, status=COMPLETED)
    assert (await waiting).status == COMPLETED
    assert time.monotonic() - begun < 0.5
    with pytest.raises(RunNotFound):
        await core.tails.wait("other", run_id, 0)
