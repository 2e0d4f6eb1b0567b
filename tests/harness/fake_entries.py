"""Entries in memory, with knobs for what goes wrong; nothing in it expires."""

import asyncio

from harness.fakes import fault

from pentad.state.v1 import entry_service_pb2 as pb
from pentad.state.v1.entry_service_pb2_grpc import EntryServiceServicer
from pentad_chassis.errors import NotFound, Unavailable


class FakeEntries(EntryServiceServicer):
    """Values by scope and key; a put takes any version."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], bytes] = {}
        self.puts: list[pb.PutEntryRequest] = []
        self.away = False
        """Everything fails with STORE_UNAVAILABLE."""
        self.hangs = False
        """Nothing is answered."""

    async def GetEntry(self, request: pb.GetEntryRequest, context: object) -> pb.GetEntryResponse:
        await self._answering()
        value = self.values.get((request.scope, request.key))
        if value is None:
            raise fault(NotFound, "ENTRY_NOT_FOUND")
        return pb.GetEntryResponse(entry=pb.Entry(key=request.key, value=value))

    async def PutEntry(self, request: pb.PutEntryRequest, context: object) -> pb.PutEntryResponse:
        await self._answering()
        self.puts.append(request)
        self.values[request.scope, request.key] = request.value
        return pb.PutEntryResponse(entry=pb.Entry(key=request.key))

    async def _answering(self) -> None:
        if self.away:
            raise fault(Unavailable, "STORE_UNAVAILABLE")
        if self.hangs:
            await asyncio.Event().wait()
