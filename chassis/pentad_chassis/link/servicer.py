"""LinkService: calls that come over a link meet the same handlers as those that come alone."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import grpc

from pentad.chassis.v1.link_service_pb2 import ConnectRequest, ConnectResponse
from pentad.chassis.v1.link_service_pb2_grpc import LinkServiceServicer
from pentad_chassis.link.desk import Desk
from pentad_chassis.telemetry import Telemetry

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext  # not subscriptable at run time


class LinkServicer(LinkServiceServicer):
    """Serves links until their callers end them."""

    def __init__(self, handlers: Mapping[str, Any], telemetry: Telemetry) -> None:
        self._handlers = handlers
        self._telemetry = telemetry
        self._desks: set[Desk] = set()
        self._works = True

    async def Connect(
        self, request_iterator: AsyncIterator[ConnectRequest], context: Context
    ) -> AsyncIterator[ConnectResponse]:
        """Serve the calls of one link."""
        desk = Desk(self._handlers, self._telemetry)
        desk.outbox.touch().instance = self._telemetry.health.instance
        self._desks.add(desk)
        reading = asyncio.create_task(desk.read(request_iterator))
        try:
            while (batch := await desk.outbox.take()) is not None:
                yield batch
        finally:
            self._desks.discard(desk)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def follow(self, *, works: bool) -> None:
        """Send callers elsewhere when the service stops working, as its health does."""
        if self._works and not works:
            self.go_away()
        self._works = works

    def go_away(self) -> None:
        """Send callers elsewhere with calls that they have not begun."""
        for desk in self._desks:
            desk.outbox.touch().go_away = True
