"""Whose key a call carries."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

from pentad.state.v1.entry_service_pb2 import GetEntryRequest, PutEntryRequest
from pentad_chassis.calls import Caller
from pentad_chassis.clock import Clock
from pentad_chassis.errors import NotFound, ServiceError
from pentad_gateway.errors import ApiKeyInvalid, ApiKeyMissing
from pentad_gateway.keys import digest, is_key
from pentad_gateway.recent import Recent

if TYPE_CHECKING:
    from pentad.state.v1.entry_service_pb2_grpc import EntryServiceAsyncStub

SCOPE = "api-keys"
"""Scope of the entries, each named by a key's digest."""

KNOWN_HOLD_S = 30.0
"""A key that was withdrawn is good for this long at most."""

UNKNOWN_HOLD_S = 2.0
"""A key that was just added is refused for this long at most."""

_REMEMBERED = 4096
_LOOK_UPS_AT_ONCE = 32
_LOOK_UP_S = 3.0


class KeyHolder(BaseModel, frozen=True):
    """Value of a key's entry: who holds the key."""

    tenant: str
    name: str


class ApiKeys:
    """The keys that the state service holds. Keys themselves are kept nowhere, only digests."""

    def __init__(self, entries: "EntryServiceAsyncStub", clock: Clock) -> None:
        self._entries = entries
        self._known: Recent[Caller] = Recent(clock, KNOWN_HOLD_S, _REMEMBERED)
        self._unknown: Recent[bool] = Recent(clock, UNKNOWN_HOLD_S, _REMEMBERED)
        # Wrong keys cost a look-up each; a flood of them must not crowd out the state service.
        self._room = asyncio.Semaphore(_LOOK_UPS_AT_ONCE)

    async def authenticate(self, _method: str, metadata: Mapping[str, str]) -> Caller:
        """Return whose key a call carries, or raise ApiKeyMissing or ApiKeyInvalid."""
        scheme, _, key = metadata.get("authorization", "").strip().partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise ApiKeyMissing
        if not is_key(key):
            raise ApiKeyInvalid
        name = digest(key)
        found = self._recall(name)
        if found is None:
            async with self._room:
                # Of many calls that waited with the same key, the first has looked it up.
                found = self._recall(name) or await self._look_up(name)
        return found

    async def enrol(self, key: str, holder: KeyHolder) -> None:
        """Make `key` valid for `holder`; a key that is valid already keeps its holder."""
        request = PutEntryRequest(
            scope=SCOPE,
            key=digest(key),
            value=holder.model_dump_json().encode(),
            expected_version=0,
        )
        try:
            await self._entries.PutEntry(request, timeout=_LOOK_UP_S)
        except ServiceError as error:
            # Another gateway came first, or the answer to our own first attempt was lost.
            if error.reason != "VERSION_MISMATCH":
                raise

    def _recall(self, name: str) -> Caller | None:
        if self._unknown.get(name):
            raise ApiKeyInvalid
        return self._known.get(name)

    async def _look_up(self, name: str) -> Caller:
        try:
            response = await self._entries.GetEntry(
                GetEntryRequest(scope=SCOPE, key=name), timeout=_LOOK_UP_S
            )
        except NotFound:
            self._unknown.put(name, value=True)
            raise ApiKeyInvalid from None
        holder = KeyHolder.model_validate_json(response.entry.value)
        found = Caller(tenant=holder.tenant, key_name=holder.name)
        self._known.put(name, found)
        return found
