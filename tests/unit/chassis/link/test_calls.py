"""Calls on one link: what each end may rely on, whatever the other does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from harness.link_pair import Pair, answers, open_pair, streams

from pentad.chassis.v1.link_service_pb2 import Begin, ConnectRequest, ConnectResponse, Frame
from pentad.state.v1.entry_service_pb2 import GetEntryRequest
from pentad_chassis.errors import (
    DeadlineExceeded,
    FieldViolation,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from pentad_chassis.link.assembly import PAYLOAD_BYTES_MAX
from pentad_chassis.link.call import WINDOW, Call
from pentad_chassis.link.outbox import BATCH_BYTES, PART_BYTES
from pentad_chassis.status import to_grpc

LONG_S = 60.0
LARGE = bytes(range(256)) * (8 * BATCH_BYTES // 256)


async def echo(request: bytes, __: Any) -> bytes:
    return request


async def count(request: bytes, __: Any) -> AsyncIterator[bytes]:
    """Yield as many messages as are asked for."""
    for n in range(int(request)):
        yield b"%d" % n


async def repeat(request: bytes, __: Any) -> AsyncIterator[bytes]:
    for n in range(3):
        yield request + b"%d" % n


class Endless:
    """Waits until it is cancelled, and says so."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def answer(self, request: bytes, context: Any) -> bytes:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError

    async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield request
        finally:
            self.cancelled.set()


HANDLERS = {"/echo": answers(echo), "/count": streams(count), "/repeat": streams(repeat)}


async def ask(pair: Pair, method: str, request: bytes, timeout_s: float = LONG_S) -> bytes:
    call = pair.session.begin(method, request, timeout_s, ())
    try:
        return await call.answer()
    finally:
        call.leave()


async def all_of(pair: Pair, method: str, request: bytes) -> list[bytes]:
    call = pair.session.begin(method, request, LONG_S, ())
    messages = []
    try:
        while (message := await call.read()) is not None:
            messages.append(message)
    finally:
        call.leave()
    return messages


async def drain(call: Call) -> None:
    while await call.read() is not None:
        pass


async def in_time(awaited: Any) -> Any:
    return await asyncio.wait_for(awaited, 10.0)


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


async def test_an_error_keeps_all_that_it_says() -> None:
    class Refused(InvalidArgument):
        reason = "REFUSED"

    error = Refused("no such field", field="f")
    error.violations = (FieldViolation("spec.f", "must be there"),)
    error.retry_after_s = 1.5
    error.retried = True

    async def refuse(_: bytes, context: Any) -> bytes:
        return await context.abort(*to_grpc(error))  # type: ignore[no-any-return]

    async def refuse_later(_: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"x"
        await context.abort(*to_grpc(error))

    handlers = {"/refuse": answers(refuse), "/later": streams(refuse_later)}
    async with open_pair(handlers) as pair:
        call = pair.session.begin("/later", b"", LONG_S, ())
        assert await in_time(call.read()) == b"x"
        for failing in (ask(pair, "/refuse", b""), call.read()):
            with pytest.raises(InvalidArgument) as caught:
                await in_time(failing)
            found = caught.value
            assert (found.message, found.reason) == (error.message, error.reason)
            assert found.metadata == {"field": "f"}
            assert found.violations == error.violations
            assert found.retry_after_s == error.retry_after_s
            assert found.retried
            assert not found.unsaid
        call.leave()
        await pair.until_rested()


async def test_messages_before_an_error_are_read_first() -> None:
    async def fail(_: bytes, context: Any) -> AsyncIterator[bytes]:
        yield LARGE
        yield b"x"
        await context.abort(*to_grpc(NotFound("gone")))

    async with open_pair({"/fail": streams(fail)}) as pair:
        call = pair.session.begin("/fail", b"", LONG_S, ())
        assert await in_time(call.read()) == LARGE
        assert await in_time(call.read()) == b"x"
        with pytest.raises(NotFound):
            await in_time(call.read())
        call.leave()


async def test_a_method_that_is_not_known_is_told() -> None:
    async with open_pair(HANDLERS) as pair:
        with pytest.raises(Unimplemented):
            await in_time(ask(pair, "/nothing", b""))
        with pytest.raises(Unimplemented):
            await in_time(all_of(pair, "/nothing", LARGE))
        await pair.until_rested()


async def test_a_request_that_cannot_be_read_fails_alone_and_is_logged_without_its_words() -> None:
    handler = grpc.unary_unary_rpc_method_handler(echo, GetEntryRequest.FromString, bytes)
    async with open_pair(HANDLERS | {"/typed": handler}) as pair:
        with pytest.raises(Internal):
            await in_time(ask(pair, "/typed", b"\xff\xffsecret"))
        assert await in_time(ask(pair, "/echo", b"x")) == b"x"
        assert "call failed by a defect" in pair.log.getvalue()
        assert "secret" not in pair.log.getvalue()
        await pair.until_rested()


@pytest.mark.parametrize("arity", ["answer", "stream"])
async def test_what_is_too_large_is_refused_at_either_end_and_harms_no_other(arity: str) -> None:
    too_large = b"x" * (PAYLOAD_BYTES_MAX + 1)

    async def grow(_: bytes, __: Any) -> bytes:
        return too_large

    async def grow_later(_: bytes, __: Any) -> AsyncIterator[bytes]:
        yield b"x"
        yield too_large

    grows = answers(grow) if arity == "answer" else streams(grow_later)
    read: Any = ask if arity == "answer" else all_of
    async with open_pair(HANDLERS | {"/grow": grows}) as pair:
        before = pair.down.passed
        with pytest.raises(ResourceExhausted):
            await in_time(read(pair, "/grow", b""))
        assert pair.down.passed < before + 10, "it is not even sent"
        before = pair.up.passed
        with pytest.raises(ResourceExhausted):
            await in_time(read(pair, "/grow", too_large))
        assert pair.up.passed < before + 10, "nor is this"
        assert await in_time(ask(pair, "/echo", b"x")) == b"x"
        await pair.until_rested()


async def test_calls_on_a_link_that_breaks_have_failed_and_said_nothing() -> None:
    endless = Endless()
    async with open_pair({"/wait": answers(endless.answer), "/count": streams(count)}) as pair:
        asking = asyncio.create_task(ask(pair, "/wait", b""))
        stream = pair.session.begin("/count", b"%d" % (9 * WINDOW), LONG_S, ())
        assert await in_time(stream.read()) == b"0"
        await in_time(endless.begun.wait())
        pair.stream.cut()
        with pytest.raises(Unavailable) as caught:
            await in_time(asking)
        assert caught.value.unsaid
        with pytest.raises(Unavailable) as caught:
            await in_time(drain(stream))
        assert caught.value.unsaid
        await in_time(endless.cancelled.wait())
        stream.leave()
        assert pair.left.is_set()


async def test_one_who_is_sent_away_begins_no_more_and_has_its_answers() -> None:
    finish = asyncio.Event()

    async def wait(request: bytes, __: Any) -> bytes:
        await finish.wait()
        return request

    async with open_pair({"/wait": answers(wait)}) as pair:
        asking = asyncio.create_task(ask(pair, "/wait", LARGE))
        await asyncio.sleep(0)
        pair.servicer.go_away()
        await in_time(pair.left.wait())
        closing = asyncio.create_task(pair.servicer.close(10.0))
        await asyncio.sleep(0)
        assert not closing.done()
        finish.set()
        assert await in_time(asking) == LARGE
        await in_time(closing)


async def test_frames_of_nobody_and_of_no_kind_are_passed_over() -> None:
    async with open_pair(HANDLERS) as pair:
        stray = ConnectRequest()
        for number in (7000, 7001):
            stray.frames.add(call_id=number).message.data = b"x"
            stray.frames.add(call_id=number).credit = 3
            stray.frames.add(call_id=number).cancel.SetInParent()
            stray.frames.add(call_id=number)
        await pair.up.write(stray)
        odd = ConnectResponse()
        odd.frames.add(call_id=7000).message.data = b"x"
        odd.frames.add(call_id=7000).end.response = b"x"
        odd.frames.add(call_id=7000)
        await pair.down.write(odd)
        assert await in_time(ask(pair, "/echo", b"x")) == b"x"
        await pair.until_rested()


async def test_a_frame_of_no_kind_is_no_message_of_its_call() -> None:
    async with open_pair(HANDLERS) as pair:
        call = pair.session.begin("/count", b"3", LONG_S, ())
        call.receive(Frame(call_id=call.call_id))
        assert [await in_time(call.read()) for _ in range(3)] == [b"0", b"1", b"2"]
        assert await in_time(call.read()) is None
        call.leave()


async def test_a_message_behind_the_whole_request_begins_nothing_anew() -> None:
    endless, begun = Endless(), 0

    async def wait(request: bytes, context: Any) -> bytes:
        nonlocal begun
        begun += 1
        return await endless.answer(request, context)

    async with open_pair(HANDLERS | {"/wait": answers(wait)}) as pair:
        extra = ConnectRequest(frames=[Frame(call_id=9000, begin=Begin(method="/wait"))])
        extra.frames.add(call_id=9000).message.data = b"x"
        await pair.up.write(extra)
        await in_time(endless.begun.wait())
        assert await in_time(ask(pair, "/echo", b"x")) == b"x"
        assert begun == 1


async def test_a_request_left_half_way_is_forgotten() -> None:
    async with open_pair(HANDLERS) as pair:
        half = ConnectRequest(
            frames=[Frame(call_id=9000, begin=Begin(method="/echo", request=b"x", more=True))]
        )
        await pair.up.write(half)
        assert await in_time(ask(pair, "/echo", b"x")) == b"x"
        half = ConnectRequest(frames=[Frame(call_id=9000)])
        half.frames[0].cancel.SetInParent()
        await pair.up.write(half)
        assert await in_time(ask(pair, "/echo", b"x")) == b"x"
        await pair.until_rested()


async def test_many_streams_share_a_link() -> None:
    async with open_pair(HANDLERS) as pair:
        streams_ = [all_of(pair, "/count", b"%d" % n) for n in range(300)]
        found = await in_time(asyncio.gather(*streams_))
        assert [len(messages) for messages in found] == list(range(300))
        await pair.until_rested()
