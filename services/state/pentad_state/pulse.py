"""The store's pulse: whether it answers, how full it is, and what its settings promise."""

import asyncio

from pentad_chassis.health import HEALTHY, Condition, degraded, fullness, unhealthy
from pentad_chassis.telemetry import Telemetry
from pentad_state.errors import StoreUnavailable
from pentad_state.soundness import StoreTooOld, check_soundness, facts_of
from pentad_state.store import Store

_INTERVAL_S = 1.0
_INTERVAL_SILENT_S = 0.2
"""Shorter: callers wait for the store to be found again."""

_ANSWER_S = 2.0


class Pulse:
    """Asks the store for a sign of life once a second, and tells the service's health."""

    def __init__(self, store: Store, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self._silent = "not asked yet"
        """Why the store counts as away; empty when it answers."""
        self._unsafe: dict[str, str] = {}
        self._used_bytes = 0
        self._most_bytes = 0

    async def begin(self) -> None:
        """Look at the store for the first time, or raise StoreTooOld; from now on it is watched."""
        await self.beat()
        if self._silent:
            self._telemetry.log.warning("store settings unchecked", cause=self._silent)
        health = self._telemetry.health
        health.watch("store", self._presence)
        health.watch("store memory", self._memory)
        health.watch("store settings", self._settings)

    async def serve(self) -> None:
        """Feel the pulse until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_SILENT_S if self._silent else _INTERVAL_S)
            try:
                await self.beat()
            except StoreTooOld as error:
                self._silent = error.message

    async def beat(self) -> None:
        """Feel the pulse, and feel again before it counts as lost.

        A connection that was lost and is found again at once is no outage.
        """
        silent = await self._feel()
        if silent and not self._silent:
            silent = await self._feel()
        if not silent:
            if self._silent:
                # It may have come back as another one, with settings of its own.
                self._unsafe = await check_soundness(self._store, self._telemetry)
            await self._measure()
        self._silent = silent

    async def _feel(self) -> str:
        """Return why there is no sign of life, or nothing when there is one."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._store.call("PING")
        except StoreUnavailable as error:
            return error.metadata["cause"]
        except TimeoutError:
            return f"no answer within {_ANSWER_S:g} s"
        return ""

    async def _measure(self) -> None:
        try:
            facts = facts_of(await self._store.call("INFO", "memory"))
        except StoreUnavailable:
            return  # some hosted stores forbid it; and one that is away shows at the next beat
        self._used_bytes = int(facts.get("used_memory", 0))
        self._most_bytes = int(facts.get("maxmemory", 0))

    def _presence(self) -> Condition:
        return unhealthy(self._silent) if self._silent else HEALTHY

    def _memory(self) -> Condition:
        if not self._most_bytes:
            return HEALTHY  # bounded by the machine alone
        return fullness(
            self._used_bytes, self._most_bytes, "bytes; a full store refuses every write"
        )

    def _settings(self) -> Condition:
        if not self._unsafe:
            return HEALTHY
        return degraded("; ".join(f"{name}: {what}" for name, what in self._unsafe.items()))
