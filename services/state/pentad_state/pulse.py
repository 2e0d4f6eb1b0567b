"""The store's pulse: whether it answers, how full it is, and what its settings promise."""

import asyncio

from pentad_chassis.health import HEALTHY, Condition, degraded, fullness, unhealthy
from pentad_chassis.telemetry import Telemetry
from pentad_state.config import Config
from pentad_state.errors import StoreUnavailable
from pentad_state.soundness import StoreTooOld, check_soundness, facts_of, replicas_of
from pentad_state.store import Store

_INTERVAL_S = 1.0
_INTERVAL_SILENT_S = 0.2
"""Shorter: callers wait for the store to be found again."""

_ANSWER_S = 2.0


class Pulse:
    """Asks the store for a sign of life once a second, and tells the service's health."""

    def __init__(self, store: Store, config: Config, telemetry: Telemetry) -> None:
        self._store = store
        self._replicas_min = config.replicas if config.durability == "replicated" else 0
        self._durability = config.durability
        self._telemetry = telemetry
        self._silent = "not asked yet"
        """Why the store counts as away; empty when it answers."""
        self._unsafe: dict[str, str] = {}
        self._used_bytes = 0
        self._most_bytes = 0
        self._replicas = 0
        """Of the primary that has fewest."""

    async def begin(self) -> None:
        """Look at the store for the first time, or raise StoreTooOld; from now on it is watched."""
        await self.beat()
        if self._silent:
            self._telemetry.log.warning("store settings unchecked", cause=self._silent)
        health = self._telemetry.health
        health.watch("store", self._presence)
        health.watch("store memory", self._memory)
        health.watch("store settings", self._settings)
        if self._replicas_min:
            health.watch("store replicas", self._enough)

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
                self._unsafe = await check_soundness(self._store, self._durability, self._telemetry)
            await self._measure()
            await self._count()
        self._silent = silent

    async def _feel(self) -> str:
        """Return why there is no sign of life, or nothing when there is one."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._store.everywhere("PING")
        except StoreUnavailable as error:
            return error.metadata["cause"]
        except TimeoutError:
            return f"no answer within {_ANSWER_S:g} s"
        return ""

    async def _measure(self) -> None:
        try:
            answers = await self._store.everywhere("INFO", "memory")
        except StoreUnavailable:
            return  # some hosted stores forbid it; and one that is away shows at the next beat
        sizes = [
            (int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0)))
            for facts in map(facts_of, answers)
        ]
        # The fullest is the first to refuse.
        self._used_bytes, self._most_bytes = max(sizes, key=lambda s: s[0] / s[1] if s[1] else 0)

    async def _count(self) -> None:
        if not self._replicas_min:
            return
        try:
            answers = await self._store.everywhere("INFO", "replication")
        except StoreUnavailable:
            return
        self._replicas = min(replicas_of(facts_of(answer)) for answer in answers)

    def _presence(self) -> Condition:
        return unhealthy(self._silent) if self._silent else HEALTHY

    def _memory(self) -> Condition:
        if not self._most_bytes:
            return HEALTHY  # bounded by the machine alone
        return fullness(
            self._used_bytes, self._most_bytes, "bytes; a full store refuses every write"
        )

    def _enough(self) -> Condition:
        if self._replicas >= self._replicas_min:
            return HEALTHY
        return degraded(f"{self._replicas} of {self._replicas_min}; writes are not acknowledged")

    def _settings(self) -> Condition:
        if not self._unsafe:
            return HEALTHY
        return degraded("; ".join(f"{name}: {what}" for name, what in self._unsafe.items()))
