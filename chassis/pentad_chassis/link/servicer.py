"""LinkService: calls that come over a link meet the same handlers as those that come alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse
from pentad.chassis.v1.link_service_pb2_grpc import LinkServiceServicer
from pentad_chassis.errors import ServiceError
from pentad_chassis.link.desk import Desk
from pentad_chassis.link.served import Terms
from pentad_chassis.status import to_grpc
from pentad_chassis.telemetry import Telemetry

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[ConnectRequest, ConnectResponse]
else:
    Context = grpc.aio.ServicerContext  # not subscriptable at run time


Authenticate = Callable[[str, Mapping[str, str]], Awaitable[object]]

_CONNECT = "/pentad.chassis.v1.LinkService/Connect"
_PUBLIC_REQUEST_BYTES_MAX = 4 * 1024 * 1024
"""As on plain gRPC there."""

_PUBLIC_PARTIAL_MAX = 16


class LinkServicer(LinkServiceServicer):
    """Serves links until their callers end them."""

    def __init__(
        self,
        handlers: Mapping[str, Any],
        telemetry: Telemetry,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._handlers = handlers
        self._telemetry = telemetry
        self._authenticate = authenticate
        self._desks: dict[Desk, asyncio.Task[None]] = {}
        self._works = True

    async def Connect(  # type: ignore[override]  # gRPC takes coroutines, too
        self, request_iterator: AsyncIterator[ConnectRequest], context: Context
    ) -> None:
        """Serve the calls of one link; at the public edge all of them under one credential."""
        desk = Desk(self._handlers, self._telemetry.log, await self._terms(context))
        hello = desk.outbox.touch()
        hello.instance = self._telemetry.health.instance
        hello.go_away = not self._works
        # Not a generator: one that is cancelled while gRPC writes is closed some time later.
        reading = self._desks[desk] = asyncio.create_task(desk.read(request_iterator))
        try:
            while (batch := await desk.outbox.take()) is not None:
                await context.write(batch)
        finally:
            del self._desks[desk]
            reading.cancel()
            await asyncio.wait([reading, *desk.leave()])

    async def _terms(self, context: Context) -> Terms:
        if self._authenticate is None:
            return Terms()
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        try:
            await self._authenticate(_CONNECT, metadata)
        except ServiceError as error:
            await context.abort(*to_grpc(error))
        # Not the caller but the key: one that is withdrawn is refused call by call.
        credential = tuple((k, v) for k, v in metadata.items() if k == "authorization")
        return Terms(credential, _PUBLIC_REQUEST_BYTES_MAX, _PUBLIC_PARTIAL_MAX)

    def follow(self, *, works: bool) -> None:
        """Send callers elsewhere when the service stops working, as its health does."""
        if self._works and not works:
            self.go_away()
        self._works = works

    def go_away(self) -> None:
        """Send callers elsewhere with calls that they have not begun."""
        self._works = False
        for desk in self._desks:
            desk.outbox.touch().go_away = True

    async def close(self, within_s: float) -> None:
        """Wait until callers have left, as those do that were sent away and have their answers."""
        if self._desks:
            await asyncio.wait(self._desks.values(), timeout=within_s)
