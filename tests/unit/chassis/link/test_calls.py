"""Calls on one link: answers, streams, and callers that leave."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness.link_calls import (
    HANDLERS,
    LARGE,
    LONG_S,
    Endless,
    all_of,
    ask,
    in_time,
)
from harness.link_pair import answers, open_pair, streams

from pentad_chassis.errors import (
    DeadlineExceeded,
)
from pentad_chassis.link.assembly import PAYLOAD_BYTES_MAX
from pentad_chassis.link.call import WINDOW
from pentad_chassis.link.outbox import BATCH_BYTES, PART_BYTES


async def test_answers_find_their_calls() -> None:
    async with open_pair(HANDLERS) as pair:
        requests = [b"", b"x", LARGE, b"y" * PART_BYTES, b"z" * (PART_BYTES + 1)] * 4
        found = await in_time(asyncio.gather(*(ask(pair, "/echo", each) for each in requests)))
        assert found == requests
        await pair.until_rested()


async def test_streams_arrive_in_order_however_long_and_whatever_the_size() -> None:
    async with open_pair(HANDLERS) as pair:
        long, empty, large = await in_time(
            asyncio.gather(
                all_of(pair, "/count", b"%d" % (5 * WINDOW)),
                all_of(pair, "/count", b"0"),
                all_of(pair, "/repeat", LARGE),
            )
        )
        assert long == [b"%d" % n for n in range(5 * WINDOW)]
        assert empty == []
        assert large == [LARGE + b"%d" % n for n in range(3)]
        await pair.until_rested()


async def test_calls_that_wait_together_leave_together() -> None:
    async with open_pair(HANDLERS) as pair:
        before = pair.up.passed, pair.down.passed
        await in_time(asyncio.gather(*(ask(pair, "/echo", b"x") for _ in range(100))))
        assert pair.up.passed - before[0] <= 2
        assert pair.down.passed - before[1] <= 3


async def test_a_slow_reader_holds_a_window_and_holds_up_nobody() -> None:
    yielded = 0

    async def produce(_: bytes, __: Any) -> AsyncIterator[bytes]:
        nonlocal yielded
        for n in range(10 * WINDOW):
            yielded += 1
            yield b"%d" % n

    async with open_pair(HANDLERS | {"/produce": streams(produce)}) as pair:
        slow = pair.session.begin("/produce", b"", LONG_S, ())
        assert await in_time(slow.read()) == b"0"
        for _ in range(50):
            assert await in_time(ask(pair, "/echo", b"x")) == b"x"
        quick = await in_time(all_of(pair, "/count", b"%d" % (10 * WINDOW)))
        assert len(quick) == 10 * WINDOW
        # One more than there is room for: it is made before the handler waits.
        assert yielded == WINDOW + 1

        rest = [b"0"]
        while (message := await in_time(slow.read())) is not None:
            rest.append(message)
        assert rest == [b"%d" % n for n in range(10 * WINDOW)]
        slow.leave()
        await pair.until_rested()


async def test_a_caller_that_leaves_before_anything_was_sent_is_never_served() -> None:
    endless = Endless()
    async with open_pair({"/wait": answers(endless.answer)}) as pair:
        call = pair.session.begin("/wait", LARGE, LONG_S, ())
        call.leave()
        await pair.until_rested()
        assert not endless.begun.is_set()


async def test_a_caller_that_leaves_in_the_middle_cancels_the_handler_once() -> None:
    endless, cancels = Endless(), 0

    async def cling(request: bytes, context: Any) -> bytes:
        nonlocal cancels
        try:
            return await endless.answer(request, context)
        except asyncio.CancelledError:
            cancels += 1
            pair.stream.cancel()  # as when the link ends as well, while it clears up
            try:
                while pair.servicer._desks:  # noqa: ASYNC110 - nobody announces it
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                cancels += 1
            raise

    async with open_pair({"/wait": answers(cling)}) as pair:
        call = pair.session.begin("/wait", b"", LONG_S, ())
        await in_time(endless.begun.wait())
        call.leave()
        await in_time(pair.left.wait())
    assert cancels == 1


async def test_a_task_that_is_cancelled_leaves_its_call() -> None:
    endless = Endless()
    async with open_pair({"/wait": answers(endless.answer)}) as pair:
        asking = asyncio.create_task(ask(pair, "/wait", b""))
        await in_time(endless.begun.wait())
        asking.cancel()
        await in_time(endless.cancelled.wait())
        with pytest.raises(asyncio.CancelledError):
            await asking
        await pair.until_rested()


@pytest.mark.parametrize("read", [0, 1, WINDOW + 3])
@pytest.mark.parametrize("size", [1, 3 * BATCH_BYTES])
async def test_a_stream_that_its_reader_leaves_ends_at_the_handler(read: int, size: int) -> None:
    endless = Endless()
    async with open_pair({"/stream": streams(endless.stream)}) as pair:
        call = pair.session.begin("/stream", b"x" * size, LONG_S, ())
        for _ in range(read):
            assert await in_time(call.read()) == b"x" * size
        call.leave()
        await pair.until_rested()
        assert endless.cancelled.is_set() or not read


async def test_an_answer_that_comes_after_its_caller_left_is_no_harm() -> None:
    finish = asyncio.Event()

    async def late(_: bytes, __: Any) -> bytes:
        try:
            await finish.wait()
        except asyncio.CancelledError:
            return LARGE  # against all custom
        raise AssertionError

    async with open_pair(HANDLERS | {"/late": answers(late)}) as pair:
        call = pair.session.begin("/late", b"", LONG_S, ())
        assert await in_time(ask(pair, "/echo", b"x")) == b"x"
        call.leave()
        assert await in_time(ask(pair, "/echo", b"y")) == b"y"
        await pair.until_rested()


async def test_of_an_answer_that_nobody_waits_for_no_more_is_sent() -> None:
    async def grow(_: bytes, __: Any) -> bytes:
        return bytes(PAYLOAD_BYTES_MAX)

    async with open_pair({"/grow": answers(grow)}) as pair:
        begun = pair.down.passed + 3
        call = pair.session.begin("/grow", b"", LONG_S, ())
        while pair.down.passed < begun:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0)
        call.leave()
        await pair.until_rested()
        assert pair.down.passed < begun + 10


async def test_a_stream_that_does_not_heed_its_cancel_ends_where_there_is_no_room() -> None:
    class Deaf:
        ended = False

        async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
            try:
                yield b"x"
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    while True:
                        yield b"x"
            finally:
                self.ended = True

    deaf = Deaf()
    async with open_pair({"/deaf": streams(deaf.stream)}) as pair:
        call = pair.session.begin("/deaf", b"", LONG_S, ())
        assert await in_time(call.read()) == b"x"
        call.leave()
        await pair.until_rested()
        assert deaf.ended


async def test_a_deadline_ends_a_call_at_both_ends() -> None:
    endless = Endless()
    async with open_pair({"/wait": answers(endless.answer)}) as pair:
        with pytest.raises(DeadlineExceeded) as caught:
            await in_time(ask(pair, "/wait", b"", 0.05))
        assert caught.value.unsaid
        await pair.until_rested()
        assert endless.cancelled.is_set() or not endless.begun.is_set()


async def test_a_handler_knows_what_came_with_the_call() -> None:
    async def look(_: bytes, context: Any) -> bytes:
        assert 0 < context.time_remaining() <= LONG_S
        return bytes(dict(context.invocation_metadata())["traceparent"], "ascii")

    async with open_pair({"/look": answers(look)}) as pair:
        call = pair.session.begin("/look", b"", LONG_S, (("traceparent", "00-a-b-01"),))
        assert await in_time(call.answer()) == b"00-a-b-01"
        call.leave()


async def test_many_streams_share_a_link() -> None:
    async with open_pair(HANDLERS) as pair:
        streams_ = [all_of(pair, "/count", b"%d" % n) for n in range(300)]
        found = await in_time(asyncio.gather(*streams_))
        assert [len(messages) for messages in found] == list(range(300))
        await pair.until_rested()
