"""One call on a link, as its handler sees it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import grpc

from pentad.chassis.v1.link_service_pb2 import Begin
from pentad_chassis.link.assembly import PAYLOAD_BYTES_MAX, Assembly
from pentad_chassis.status import told_by

Pairs = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the calls of a link are served."""

    credential: Pairs = ()
    """Comes with each call, for it came with the link."""

    request_bytes_max: int = PAYLOAD_BYTES_MAX
    partial_max: int = 1000
    """Requests that may be here in part."""


class Told(Exception):
    """A handler ends its call with an error; the status says which."""

    def __init__(self, status: bytes, *, retried: bool) -> None:
        super().__init__("the call was ended with an error")
        self.status = status
        self.retried = retried


class Served:
    """A call that is being served; for its handler, all of gRPC's context that is used."""

    __slots__ = (
        "_assembly", "_credit", "_due", "_left", "_metadata", "_room", "call_id", "method", "task",
    )  # fmt: skip

    def __init__(self, call_id: int, begin: Begin, terms: Terms) -> None:
        self.call_id = call_id
        self.method = begin.method
        self.task: asyncio.Task[None] | None = None
        """Serves it, once the whole request is here."""
        self._metadata = (*begin.metadata.items(), *terms.credential)
        self._due = asyncio.get_running_loop().time() + begin.timeout_us / 1e6
        self._credit = begin.credit
        self._room: asyncio.Future[None] | None = None
        self._assembly = Assembly(terms.request_bytes_max)
        self._left = False

    def invocation_metadata(self) -> Pairs:
        """Return what came with the call."""
        return self._metadata

    def time_remaining(self) -> float:
        """Return how long the caller still waits, in seconds."""
        return max(0.0, self._due - asyncio.get_running_loop().time())

    async def abort(self, code: grpc.StatusCode, details: str, trailing: Pairs) -> NoReturn:
        """End the call with an error; `trailing` holds it whole."""
        status, retried = told_by(trailing)
        raise Told(status, retried=retried)

    def join(self, part: bytes, *, more: bool) -> bytes | None:
        """Return the request when the last part of it is here."""
        return self._assembly.join(part, more=more)

    async def room(self) -> None:
        """Wait until the caller has room for one more message."""
        while not self._credit:
            if self._left:
                raise asyncio.CancelledError  # for a handler that did not heed the first
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        self._credit -= 1

    def grant(self, messages: int) -> None:
        """Have room for so many more."""
        self._credit += messages
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def leave(self) -> None:
        """Cancel the handler, for nobody waits any more; once, as gRPC does."""
        if self.task is not None and not self._left:
            self._left = True
            self.task.cancel()
