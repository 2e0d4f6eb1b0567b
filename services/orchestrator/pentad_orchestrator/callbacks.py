"""Webhooks that a run names, before it is accepted."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pentad.state.v1.entry_service_pb2 import GetEntryRequest
from pentad_chassis import scopes
from pentad_chassis.errors import NotFound
from pentad_orchestrator.errors import WebhookNotFound

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub


class Callbacks:
    """Knows which webhooks there are."""

    def __init__(self, entries: "EntryServiceAsyncStub") -> None:
        self._entries = entries

    async def require(self, tenant: str, names: Sequence[str]) -> None:
        """Raise WebhookNotFound unless the tenant has all these webhooks."""
        if names:
            await asyncio.gather(*(self._require(tenant, name) for name in names))

    async def _require(self, tenant: str, name: str) -> None:
        request = GetEntryRequest(scope=scopes.webhooks(tenant), key=name)
        try:
            await self._entries.GetEntry(request)
        except NotFound:
            raise WebhookNotFound(name) from None
