"""How the suite is: every service and replica, and what follows from them for the whole."""

import asyncio
from collections.abc import Sequence

from pentad.chassis.v1.status_service_pb2 import (
    LEVEL_DEGRADED,
    LEVEL_HEALTHY,
    LEVEL_UNHEALTHY,
    Level,
    ServiceStatus,
)
from pentad.gateway.v1.system_service_pb2 import GetSystemStatusResponse
from pentad_chassis.calls import remaining_s
from pentad_chassis.clock import Clock
from pentad_chassis.health import Health
from pentad_chassis.status_servicer import survey

_DEPTH = 2
"""The gateway's peers, and theirs: all five services."""

_HOLD_S = 0.5
"""An answer serves all who ask within this time: however many do, replicas are asked once."""


class SystemCore:
    """Looks around from the gateway."""

    def __init__(self, health: Health, clock: Clock) -> None:
        self._health = health
        self._clock = clock
        self._looking = asyncio.Lock()
        self._found: GetSystemStatusResponse | None = None
        self._found_at_s = 0.0

    async def get_system_status(self) -> GetSystemStatusResponse:
        """Return the status of every service and replica, as of half a second ago at most."""
        async with self._looking:
            if self._found is None or self._clock.monotonic() - self._found_at_s > _HOLD_S:
                services = await survey(self._health, _DEPTH, remaining_s())
                services.sort(key=lambda status: (status.service, status.instance))
                self._found = GetSystemStatusResponse(level=level_of(services), services=services)
                self._found_at_s = self._clock.monotonic()
            return self._found


def level_of(services: Sequence[ServiceStatus]) -> Level.ValueType:
    """Return how the whole is.

    Unhealthy when a service has no replica that works; degraded when anything else is not healthy.
    """
    working = {status.service for status in services if status.level != LEVEL_UNHEALTHY}
    if any(status.service not in working for status in services):
        return LEVEL_UNHEALTHY
    if any(status.level != LEVEL_HEALTHY for status in services):
        return LEVEL_DEGRADED
    return LEVEL_HEALTHY
