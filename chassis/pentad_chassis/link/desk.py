"""The server's end of a link: each call a task of its own, as if it had come by itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from structlog.typing import FilteringBoundLogger

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse, Frame
from pentad_chassis.errors import Internal, ResourceExhausted, ServiceError, Unimplemented
from pentad_chassis.link.assembly import check_size
from pentad_chassis.link.outbox import Outbox
from pentad_chassis.link.served import Served, Terms, Told
from pentad_chassis.status import to_details


class Desk:
    """Serves the calls of one link."""

    def __init__(
        self, handlers: Mapping[str, Any], log: FilteringBoundLogger, terms: Terms
    ) -> None:
        self.outbox = Outbox(ConnectResponse)
        self._handlers = handlers
        self._log = log
        self._terms = terms
        self._calls: dict[int, Served] = {}
        self._partial: set[int] = set()
        """Calls whose requests are here in part."""

    async def read(self, batches: AsyncIterator[ConnectRequest]) -> None:
        """Serve what comes, until nothing more does; who does not take answers asks in vain."""
        try:
            async for batch in batches:
                for frame in batch.frames:
                    self._receive(frame)
                await self.outbox.room()
        finally:
            self.outbox.close()

    def leave(self) -> list[asyncio.Task[None]]:
        """Cancel all calls, for their caller is gone; return what is still to end."""
        for call in self._calls.values():
            call.leave()
        return [call.task for call in self._calls.values() if call.task is not None]

    def _receive(self, frame: Frame) -> None:
        kind, call_id = frame.WhichOneof("kind"), frame.call_id
        if kind == "begin":
            if call_id not in self._calls:  # or whoever numbers them has lost count
                call = self._calls[call_id] = Served(call_id, frame.begin, self._terms)
                self._take(call, frame.begin.request, more=frame.begin.more)
        elif kind == "cancel":
            self._leave(call_id)
        elif (known := self._calls.get(call_id)) is None:
            pass  # it is over, and its caller had not heard so yet
        elif kind == "credit":
            known.grant(frame.credit)
        elif kind == "message" and known.task is None:
            self._take(known, frame.message.data, more=frame.message.more)

    def _take(self, call: Served, part: bytes, *, more: bool) -> None:
        self._partial.discard(call.call_id)
        try:
            if more and len(self._partial) >= self._terms.partial_max:
                raise ResourceExhausted("too many requests are here in part")
            request = call.join(part, more=more)
        except ServiceError as error:
            del self._calls[call.call_id]
            self.outbox.end(call.call_id, status=to_details(error))
            return
        if request is None:
            self._partial.add(call.call_id)
        else:
            call.task = asyncio.create_task(self._serve(call, request))
            call.task.add_done_callback(lambda _: self._calls.pop(call.call_id, None))

    def _leave(self, call_id: int) -> None:
        self.outbox.drop(call_id)  # of a call that is over, too: its answer may be long
        call = self._calls.get(call_id)
        if call is None:
            return
        if call.task is None:
            del self._calls[call_id]
            self._partial.discard(call_id)
        call.leave()

    async def _serve(self, call: Served, request: bytes) -> None:
        outbox, call_id = self.outbox, call.call_id
        try:
            outbox.end(call_id, await self._answer(call, request))
        except Told as told:
            outbox.end(call_id, status=told.status, retried=told.retried)
        except ServiceError as error:
            outbox.end(call_id, status=to_details(error))
        except Exception:  # noqa: BLE001 - its caller would wait for ever
            # Whatever surrounds handlers lets nothing out: a message cannot be read, or be made.
            self._log.exception("call failed by a defect", method=call.method)
            outbox.end(call_id, status=to_details(Internal("a message cannot be read or made")))

    async def _answer(self, call: Served, request: bytes) -> bytes:
        """Return the last that is to be sent; the messages of a stream are sent before."""
        handler = self._handlers.get(call.method)
        if handler is None:
            raise Unimplemented(f"{call.method} is not known here")
        asked = handler.request_deserializer(request)
        encode = handler.response_serializer
        if not handler.response_streaming:
            response: bytes = encode(await handler.unary_unary(asked, call))
            check_size(len(response))
            return response
        async with aclosing(handler.unary_stream(asked, call)) as messages:
            async for message in messages:
                data = encode(message)
                check_size(len(data))
                await call.room()
                remainder = self.outbox.message(call.call_id, data)
                if remainder is not None:
                    await remainder.left.wait()
        return b""
