"""One call on a link, as its caller sees it."""

import asyncio
from collections.abc import Callable

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, End, Frame, Message
from pentad_chassis.errors import ServiceError
from pentad_chassis.link.assembly import Assembly
from pentad_chassis.link.outbox import Outbox
from pentad_chassis.status import from_details
from pentad_chassis.waits import Wait

WINDOW = 32
"""Messages of a response stream that may be under way: a slow reader slows its own stream down."""


class Call:
    """A call that has been sent. Only one task waits for it."""

    __slots__ = (
        "_assembly", "_error", "_left", "_messages", "_outbox", "_over", "_read", "_response",
        "_wait", "_waiter", "call_id",
    )  # fmt: skip

    def __init__(
        self,
        call_id: int,
        outbox: Outbox[ConnectRequest],
        wait: Wait,
        left: Callable[["Call"], None],
    ) -> None:
        self.call_id = call_id
        self._outbox = outbox
        self._wait = wait
        self._left = left
        self._assembly = Assembly()
        self._messages: list[bytes] = []  # so few that a deque is no quicker, and takes more
        self._read = 0
        self._response = b""
        self._error: ServiceError | None = None
        self._over = False
        self._waiter: asyncio.Future[None] | None = None

    async def answer(self) -> bytes:
        """Return the answer, or raise the error that came instead or the deadline's."""
        with self._wait:
            while not self._over:
                await self._change()
        if self._error is not None:
            raise self._error
        return self._response

    async def read(self) -> bytes | None:
        """Return the next message, or None after the last one, or raise as for an answer."""
        if not (self._messages or self._over):
            with self._wait:
                while not (self._messages or self._over):
                    await self._change()
        if not self._messages:
            if self._error is not None:
                raise self._error
            return None
        self._read += 1
        if self._read == WINDOW // 2 and not self._over:
            self._outbox.credit(self.call_id, self._read)
            self._read = 0
        return self._messages.pop(0)

    def leave(self) -> None:
        """Wait no more; the replica is told so unless it has ended the call."""
        if not self._over:
            self._outbox.cancel(self.call_id)
        self._left(self)

    def receive(self, frame: Frame) -> None:
        """Take in what the replica says."""
        try:
            if frame.HasField("end"):
                self._end(frame.end)
            elif frame.HasField("message"):
                self._take(frame.message)
        except ServiceError as error:
            self._outbox.cancel(self.call_id)
            self.fail(error)
        self._wake()

    def fail(self, error: ServiceError) -> None:
        """End the call with an error of this side, unless it is over."""
        if not self._over:
            self._error = error
            self._over = True
            self._wake()

    def _take(self, message: Message) -> None:
        whole = self._assembly.join(message.data, more=message.more)
        if whole is not None:
            self._messages.append(whole)

    def _end(self, end: End) -> None:
        if end.status:
            self._error = from_details(end.status)
            self._error.retried = end.retried
        else:
            self._response = self._assembly.join(end.response, more=False) or b""
        self._over = True

    async def _change(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
