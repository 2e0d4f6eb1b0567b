"""What waits to be sent arrives whole, in order, and without a large one in the way."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse, Frame
from pentad_chassis.errors import ResourceExhausted
from pentad_chassis.link.assembly import PAYLOAD_BYTES_MAX, Assembly, check_size
from pentad_chassis.link.outbox import BATCH_BYTES, PART_BYTES, Outbox, Remainder

BATCH_BYTES_MAX = BATCH_BYTES + 2 * PART_BYTES
"""The last frame may go beyond the measure, and frames' own bytes are estimated."""

sizes = st.one_of(
    st.sampled_from([0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES]),
    st.integers(0, 200),
    st.integers(0, 5 * BATCH_BYTES),
)


@dataclass
class Story:
    """What one call sends, and how far it is."""

    call_id: int
    messages: list[bytes]
    answer: bytes
    sent: int = 0
    ended: bool = False
    waits_for: Remainder | None = None

    @property
    def can_go_on(self) -> bool:
        return not self.ended and (self.waits_for is None or self.waits_for.left.is_set())

    def go_on(self, outbox: Outbox[ConnectResponse]) -> None:
        if self.sent < len(self.messages):
            self.waits_for = outbox.message(self.call_id, self.messages[self.sent])
            self.sent += 1
        else:
            outbox.end(self.call_id, self.answer)
            self.ended = True


@dataclass
class Received:
    """What arrives, put together by call."""

    batches: list[ConnectResponse] = field(default_factory=list)
    messages: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[int, bytes] = field(default_factory=dict)
    _assemblies: dict[int, Assembly] = field(default_factory=lambda: defaultdict(Assembly))

    def take_in(self, batch: ConnectResponse) -> None:
        self.batches.append(batch)
        for frame in ConnectResponse.FromString(batch.SerializeToString()).frames:
            assert frame.call_id not in self.answers, "nothing follows an end"
            assembly = self._assemblies[frame.call_id]
            if frame.HasField("end"):
                whole = assembly.join(frame.end.response, more=False)
                assert whole is not None
                self.answers[frame.call_id] = whole
            else:
                joined = assembly.join(frame.message.data, more=frame.message.more)
                if joined is not None:
                    self.messages[frame.call_id].append(joined)


def payload(size: int, seed: int) -> bytes:
    return bytes([seed % 251]) * (size - 1) + b"$" if size else b""


@given(
    plan=st.lists(st.tuples(st.lists(sizes, max_size=4), sizes), min_size=1, max_size=5),
    choices=st.randoms(use_true_random=False),
)
def test_every_payload_arrives_whole_and_in_the_order_of_its_call(plan: Any, choices: Any) -> None:
    stories = [
        Story(n, [payload(s, 7 * n + k) for k, s in enumerate(messages)], payload(answer, n))
        for n, (messages, answer) in enumerate(plan)
    ]
    received = Received()

    async def play() -> None:
        outbox = Outbox(ConnectResponse)
        while not all(story.ended for story in stories):
            able = [story for story in stories if story.can_go_on]
            if not is_idle(outbox) and (not able or choices.random() < 0.5):
                received.take_in(await taken(outbox))
            else:
                choices.choice(able).go_on(outbox)
        outbox.close()
        while (batch := await in_time(outbox.take())) is not None:
            received.take_in(batch)

    asyncio.run(play())

    for story in stories:
        assert received.messages[story.call_id] == story.messages
        assert received.answers[story.call_id] == story.answer
    for batch in received.batches:
        assert batch.ByteSize() <= BATCH_BYTES_MAX


@given(larges=st.lists(st.integers(PART_BYTES + 1, 4 * BATCH_BYTES), min_size=1, max_size=4))
async def test_a_small_message_leaves_with_the_next_batch_however_large_the_others(
    larges: list[int],
) -> None:
    outbox = Outbox(ConnectResponse)
    for n, size in enumerate(larges):
        outbox.end(n, payload(size, n))
    small = 100
    left = True
    while left:
        outbox.message(small, b"x")
        batch = await taken(outbox)
        assert small in {frame.call_id for frame in batch.frames}
        small += 1
        left = len(batch.frames) > 1


async def test_large_ones_go_on_however_many_small_ones_there_are() -> None:
    outbox = Outbox(ConnectResponse)
    outbox.end(1, payload(8 * PART_BYTES, 1))
    for n in range(2, 5000):
        outbox.message(n, payload(1000, n))
    outbox.close()

    batches = []
    while (batch := await in_time(outbox.take())) is not None:
        batches.append({frame.call_id for frame in batch.frames})

    assert len(batches) > 20
    assert max(n for n, calls in enumerate(batches) if 1 in calls) < 8


@given(
    size=st.integers(PART_BYTES + 1, 6 * BATCH_BYTES),
    before=st.integers(0, 3),
    others=st.lists(st.integers(0, 2 * BATCH_BYTES), max_size=3),
)
async def test_nothing_of_a_call_follows_its_cancel(
    size: int, before: int, others: list[int]
) -> None:
    outbox = Outbox(ConnectRequest)
    for n, other in enumerate(others):
        outbox.begin(n, "/m", payload(other, n), 1.0, 1, ())
    outbox.begin(99, "/m", payload(size, 9), 1.0, 1, ())
    batches = [await taken(outbox) for _ in range(before) if not is_idle(outbox)]
    outbox.cancel(99)
    outbox.close()
    while (batch := await in_time(outbox.take())) is not None:
        batches.append(batch)

    frames = [frame for batch in batches for frame in batch.frames]
    own = [frame for frame in frames if frame.call_id == 99]
    assert kind(own[-1]) == "cancel"
    assert [kind(frame) for frame in own].count("cancel") == 1
    for n, other in enumerate(others):
        parts = [f.begin.request + f.message.data for f in frames if f.call_id == n]
        assert b"".join(parts) == payload(other, n)


async def test_a_dropped_payload_is_waited_for_no_longer() -> None:
    outbox = Outbox(ConnectResponse)
    remainder = outbox.message(1, payload(BATCH_BYTES * 4, 1))
    assert remainder is not None
    await taken(outbox)
    assert not remainder.left.is_set()

    outbox.drop(1)

    assert remainder.left.is_set()
    assert is_idle(outbox)


async def test_it_is_crowded_only_while_the_other_side_is_slow() -> None:
    outbox = Outbox(ConnectResponse)
    while not outbox.is_crowded:
        outbox.message(1, payload(PART_BYTES, 1))

    while outbox.is_crowded:
        await taken(outbox)
    while not is_idle(outbox):
        await taken(outbox)

    outbox.message(1, payload(BATCH_BYTES, 1))
    assert not outbox.is_crowded


async def test_messages_of_nothing_but_errors_and_credits_are_bounded_too() -> None:
    outbox = Outbox(ConnectResponse)
    for n in range(3000):
        outbox.end(n, status=b"s" * 500)
        outbox.credit(n, 1)
    outbox.close()
    found = 0
    while (batch := await in_time(outbox.take())) is not None:
        assert batch.ByteSize() <= BATCH_BYTES_MAX
        found += len(batch.frames)
    assert found == 6000


async def test_a_batch_that_was_touched_is_sent_without_a_frame_and_in_its_place() -> None:
    outbox = Outbox(ConnectResponse)
    outbox.touch().instance = "a"
    assert (await taken(outbox)).instance == "a"

    outbox.message(1, b"")
    outbox.touch().go_away = True
    outbox.message(2, b"")
    batch = await taken(outbox)
    assert [frame.call_id for frame in batch.frames] == [1, 2]
    assert batch.go_away


async def test_what_waits_at_the_close_is_sent_and_then_there_is_an_end() -> None:
    outbox = Outbox(ConnectResponse)
    outbox.end(1, payload(3 * BATCH_BYTES, 1))
    outbox.close()
    received = Received()
    while (batch := await in_time(outbox.take())) is not None:
        received.take_in(batch)
    assert received.answers == {1: payload(3 * BATCH_BYTES, 1)}
    assert await in_time(outbox.take()) is None


async def test_the_end_comes_to_one_who_waits_already() -> None:
    outbox = Outbox(ConnectResponse)
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.close()
    assert await in_time(taking) is None


def test_a_payload_that_is_too_large_is_refused_before_it_is_put_together() -> None:
    assembly = Assembly()
    part = b"x" * (PAYLOAD_BYTES_MAX // 2)
    assert assembly.join(part, more=True) is None
    assert assembly.join(part, more=True) is None
    with pytest.raises(ResourceExhausted):
        assembly.join(b"x", more=True)

    check_size(PAYLOAD_BYTES_MAX)
    with pytest.raises(ResourceExhausted):
        check_size(PAYLOAD_BYTES_MAX + 1)


def kind(frame: Frame) -> str:
    return frame.WhichOneof("kind") or ""


def is_idle(outbox: Outbox[Any]) -> bool:
    """Whether nothing waits to be sent."""
    return not (outbox._full or outbox._long or outbox._batch.frames)


async def taken(outbox: Outbox[Any]) -> Any:
    batch = await in_time(outbox.take())
    assert batch is not None
    return batch


async def in_time(awaited: Any) -> Any:
    return await asyncio.wait_for(awaited, 10.0)
