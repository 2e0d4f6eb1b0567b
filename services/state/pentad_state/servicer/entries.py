"""Versioned values, on the wire."""

from pentad.state.v1 import entry_service_pb2 as pb
from pentad.state.v1 import entry_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class EntryServicer(pb_grpc.EntryServiceServicer):
    """Versioned values."""

    def __init__(self, core: StateCore) -> None:
        self._entries = core.entries

    async def GetEntry(self, request: pb.GetEntryRequest, context: Context) -> pb.GetEntryResponse:
        entry = await self._entries.get(request.scope, request.key)
        return pb.GetEntryResponse(entry=entry)

    async def PutEntry(self, request: pb.PutEntryRequest, context: Context) -> pb.PutEntryResponse:
        expected = request.expected_version if request.HasField("expected_version") else None
        ttl = request.ttl if request.HasField("ttl") else None
        entry = await self._entries.put(request.scope, request.key, request.value, expected, ttl)
        return pb.PutEntryResponse(entry=entry)

    async def DeleteEntry(
        self, request: pb.DeleteEntryRequest, context: Context
    ) -> pb.DeleteEntryResponse:
        expected = request.expected_version if request.HasField("expected_version") else None
        await self._entries.delete(request.scope, request.key, expected)
        return pb.DeleteEntryResponse()

    async def ListEntries(
        self, request: pb.ListEntriesRequest, context: Context
    ) -> pb.ListEntriesResponse:
        entries, token = await self._entries.list_entries(
            request.scope, request.key_prefix, request.page_size, request.page_token
        )
        return pb.ListEntriesResponse(entries=entries, next_page_token=token)
