"""Calls on a link without a network: handlers, and what their callers do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from harness.link_pair import Pair, answers, streams

from pentad_chassis.link.call import Call
from pentad_chassis.link.outbox import BATCH_BYTES

LONG_S = 60.0
LARGE = bytes(range(256)) * (8 * BATCH_BYTES // 256)


async def echo(request: bytes, __: Any) -> bytes:
    """Answer with what was asked."""
    return request


async def count(request: bytes, __: Any) -> AsyncIterator[bytes]:
    """Yield as many messages as are asked for."""
    for n in range(int(request)):
        yield b"%d" % n


async def repeat(request: bytes, __: Any) -> AsyncIterator[bytes]:
    """Yield what was asked three times, numbered."""
    for n in range(3):
        yield request + b"%d" % n


class Endless:
    """Waits until it is cancelled, and says so."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def answer(self, request: bytes, context: Any) -> bytes:
        """Handle a call with one answer."""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError

    async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Handle a call with a stream of them."""
        try:
            while True:
                yield request
        finally:
            self.cancelled.set()


HANDLERS = {"/echo": answers(echo), "/count": streams(count), "/repeat": streams(repeat)}


async def ask(pair: Pair, method: str, request: bytes, timeout_s: float = LONG_S) -> bytes:
    """Return the answer to a call."""
    call = pair.session.begin(method, request, timeout_s, ())
    try:
        return await call.answer()
    finally:
        call.leave()


async def all_of(pair: Pair, method: str, request: bytes) -> list[bytes]:
    """Return all messages of a stream."""
    call = pair.session.begin(method, request, LONG_S, ())
    messages = []
    try:
        while (message := await call.read()) is not None:
            messages.append(message)
    finally:
        call.leave()
    return messages


async def drain(call: Call) -> None:
    """Read a stream to its end."""
    while await call.read() is not None:
        pass


async def in_time(awaited: Any) -> Any:
    """Return what comes of something that has to come."""
    return await asyncio.wait_for(awaited, 10.0)
