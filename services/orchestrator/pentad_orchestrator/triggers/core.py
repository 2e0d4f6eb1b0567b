"""What callers may ask of triggers."""

from pentad.state.v1.trigger_pb2 import Trigger, TriggerRecord
from pentad_chassis.errors import Aborted
from pentad_orchestrator.callbacks import Callbacks
from pentad_orchestrator.creation import Creation
from pentad_orchestrator.errors import TriggerAlreadyExists, TriggerNotFound
from pentad_orchestrator.triggers.store import Stored, TriggerStore


class TriggerCore:
    """Triggers of tenants."""

    def __init__(self, store: TriggerStore, creation: Creation, callbacks: Callbacks) -> None:
        self._store = store
        self._creation = creation
        self._callbacks = callbacks

    async def create(self, tenant: str, trigger: Trigger, request_id: str) -> Trigger:
        """Record a trigger, which reads its topic from then on."""
        record = TriggerRecord(trigger=trigger, request_id=request_id)
        record.trigger.ClearField("create_time")
        record.trigger.ClearField("last_failure")
        # What could never start a run is refused now, when somebody is there to hear it.
        await self._callbacks.require(tenant, trigger.spec.callbacks)
        await self._creation.pin(tenant, trigger.spec, "trigger", "")
        async with self._store.mending(tenant, trigger.name):
            try:
                stored = await self._store.add(tenant, record)
            except Aborted:
                stored = await self._created_before(tenant, record)
            await self._store.attach(stored)
        return stored.trigger

    async def get(self, tenant: str, name: str) -> Trigger:
        """Return a trigger."""
        stored = await self._store.load(tenant, name)
        if stored is None:
            raise TriggerNotFound(name)
        return stored.trigger

    async def list_page(self, tenant: str, size: int, token: str) -> tuple[list[Trigger], str]:
        """Return a page of triggers by name, and the token of the next."""
        found, following = await self._store.list_page(tenant, size, token)
        return [stored.trigger for stored in found], following

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a trigger."""
        await self._store.delete(tenant, name)

    async def _created_before(self, tenant: str, wanted: TriggerRecord) -> Stored:
        found = await self._store.load(tenant, wanted.trigger.name)
        if found is None or found.record.request_id != wanted.request_id:
            raise TriggerAlreadyExists(wanted.trigger.name)
        return found
