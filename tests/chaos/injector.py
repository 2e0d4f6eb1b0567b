"""Carries the schedule out, and remembers what it did and when."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.schedule import FAULTS, Injection, Kind
from chaos.stage import Stage


@dataclass(frozen=True)
class Blow:
    """An injection that was carried out."""

    kind: Kind
    target: str
    began_s: float
    """By the wall clock."""

    ended_s: float


class Injector:
    """Strikes; leaves everything whole in the end."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.blows: list[Blow] = []
        self.missed = 0
        """Those that met a process that was dead at the moment, or no replica that took over."""

    @property
    def by_kind(self) -> Counter[str]:
        """How many of each kind were carried out."""
        return Counter(blow.kind.value for blow in self.blows)

    async def carry_out(self, schedule: Sequence[Injection]) -> None:
        """Strike at the times given, and return when the last blow is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for injection in schedule:
                await asyncio.sleep(max(0.0, began + injection.at_s - time.monotonic()))
                group.create_task(self._strike(injection))
        await self._stage.heal()

    async def _strike(self, injection: Injection) -> None:
        began_s = time.time()
        if await self._inflict(injection):
            blow = Blow(injection.kind, injection.target, began_s, time.time())
            self.blows.append(blow)
        else:
            self.missed += 1

    async def _inflict(self, injection: Injection) -> bool:
        """Return whether there was something to strike, once that is over."""
        match injection.kind:
            case Kind.KILL | Kind.ENGINE_KILL:
                return self._stage.replicas[injection.target].kill(injection.lasts_s)
            case Kind.STOP:
                replica = self._stage.replicas[injection.target]
                if not replica.stop():
                    return False
                try:
                    await asyncio.sleep(injection.lasts_s)
                finally:
                    replica.go_on()
                return True
            case Kind.FAILOVER | Kind.FAILOVER_HUNG:
                failover = self._stage.failover
                assert failover is not None, "planned where the store has a primary"
                died = injection.kind is Kind.FAILOVER
                return await (failover.die() if died else failover.hang())
            case kind:
                proxy = self._stage.hops[injection.target]
                await proxy.begin(FAULTS[kind])
                await asyncio.sleep(injection.lasts_s)
                await proxy.heal()
                return True
