"""Calls on one link that fail, and ends that say what they should not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from harness.link_calls import (
    HANDLERS,
    LARGE,
    LONG_S,
    Endless,
    all_of,
    ask,
    count,
    drain,
    echo,
    in_time,
)
from harness.link_pair import answers, open_pair, streams

from pentad.chassis.v1.link_service_pb2 import Begin, ConnectRequest, ConnectResponse, Frame
from pentad.state.v1.entry_service_pb2 import GetEntryRequest
from pentad_chassis.errors import (
    FieldViolation,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from pentad_chassis.link.assembly import PAYLOAD_BYTES_MAX
from pentad_chassis.link.call import WINDOW
from pentad_chassis.status import to_grpc


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
