"""The store's pulse: whether it answers, how full it is, and what its settings promise."""

import asyncio

from pentad_chassis.health import HEALTHY, Condition, degraded, fullness, unhealthy
from pentad_chassis.telemetry import Telemetry
from pentad_state.config import Config
from pentad_state.errors import StoreUnavailable
from pentad_state.soundness import StoreTooOld, check_soundness, facts_of, replicas_of
from pentad_state.store import Store
from pentad_state.waiting import wait_for

_INTERVAL_S = 1.0
_INTERVAL_SILENT_S = 0.2
"""Shorter: callers wait for the store to be found again."""

_ANSWER_S = 2.0


class Pulse:
    """Asks the store for a sign of life once a second, and tells the service's health."""

    def __init__(
        self, store: Store, config: Config, telemetry: Telemetry, alarm: asyncio.Event
    ) -> None:
        self._store = store
        self._alarm = alarm
        """Set when a connection fell silent; then the pulse is felt at once."""
        self._answer_s = min(_ANSWER_S, config.reply_s)
        self._replicas_min = config.replicas if config.durability == "replicated" else 0
        self._durability = config.durability
        self._telemetry = telemetry
        self._silent = ["not asked yet"]
        """Of each server why it counts as away; empty when it answers."""
        self._unsafe: dict[str, str] = {}
        self._used_bytes = 0
        self._most_bytes = 0
        self._replicas = 0
        """Of the primary that has fewest."""

    async def begin(self) -> None:
        """Look at the store for the first time, or raise StoreTooOld; from now on it is watched."""
        await self.beat()
        if any(self._silent):
            cause = next(filter(None, self._silent))
            self._telemetry.log.warning("store settings unchecked", cause=cause)
        health = self._telemetry.health
        health.watch("store", self._presence)
        health.watch("store memory", self._memory)
        health.watch("store settings", self._settings)
        if self._replicas_min:
            health.watch("store replicas", self._enough)

    async def serve(self) -> None:
        """Feel the pulse until cancelled."""
        while True:
            interval_s = _INTERVAL_SILENT_S if any(self._silent) else _INTERVAL_S
            await wait_for(self._alarm, interval_s)
            doubted = self._alarm.is_set()
            self._alarm.clear()
            try:
                await self.beat(doubted=doubted)
            except StoreTooOld as error:
                self._silent = [error.message]

    async def beat(self, *, doubted: bool = False) -> None:
        """Feel the pulse, and feel again before a server counts as lost, unless there was doubt.

        A connection that was lost and is found again at once is no outage.
        """
        silent = await self._store.probe(self._answer_s)
        if any(silent) and not any(self._silent) and not doubted:
            silent = await self._store.probe(self._answer_s)
        if not any(silent):
            if any(self._silent):
                # It may have come back as another one, with settings of its own.
                self._unsafe = await check_soundness(self._store, self._durability, self._telemetry)
            await self._measure()
            await self._count()
        self._silent = silent

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
        causes = [cause for cause in self._silent if cause]
        if not causes:
            return HEALTHY
        if len(causes) == len(self._silent):
            return unhealthy(causes[0])
        away = f"{len(causes)} of {len(self._silent)} primaries away; what they hold waits"
        return degraded(f"{away}: {causes[0]}")

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
