"""How well a service is: named conditions, looked at whenever somebody asks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import IntEnum

from structlog.typing import FilteringBoundLogger

from pentad.chassis.v1.status_service_pb2 import ServiceStatus
from pentad_chassis.clock import Clock, SystemClock, random_id

_NEARLY_FULL = 0.9
_INTERVAL_S = 0.25
"""Callers are sent to a sick replica for no longer than this after it knows."""

_INSTANCE_CHARS = 10


class Level(IntEnum):
    """How well something is; a greater one is worse. The numbers are those of the protos."""

    HEALTHY = 1
    DEGRADED = 2
    """It works, and something wants attention."""
    UNHEALTHY = 3
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How well one thing is, and why; the reason is one line for people, empty when healthy."""

    level: Level
    reason: str = ""


HEALTHY = Condition(Level.HEALTHY)


def degraded(reason: str) -> Condition:
    """Return the condition of something that works and wants attention."""
    return Condition(Level.DEGRADED, reason)


def unhealthy(reason: str) -> Condition:
    """Return the condition of something that does not work."""
    return Condition(Level.UNHEALTHY, reason)


def fullness(used: int, room: int, what: str) -> Condition:
    """Return the condition of something bounded: degraded from nine tenths on."""
    if used < room * _NEARLY_FULL:
        return HEALTHY
    return degraded(f"{used} of {room} {what}")


Check = Callable[[], Condition]
"""Says at once how something is; it must not wait."""

Ask = Callable[[int, float], Awaitable[list[ServiceStatus]]]
"""From a depth and a time to the statuses of a peer's replicas and of their peers; never raises."""


def always() -> bool:
    """Whether a peer that every call goes to is needed."""
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """A service that this one calls."""

    name: str
    address: str
    check: Check
    ask: Ask
    needed: Callable[[], bool]
    """Whether its health matters now; that of a way which is not taken does not."""


class Health:
    """The conditions of one service, and the peers that it calls."""

    def __init__(self, service: str, clock: Clock | None = None) -> None:
        self.service = service
        self.instance = random_id()[:_INSTANCE_CHARS]
        """Names this replica; new at every start."""
        self._clock = clock or SystemClock()
        self.start_time_s = self._clock.now()
        """When the service began to serve, in seconds since the epoch."""
        self._checks: dict[str, Check] = {}
        self._peers: list[Peer] = []

    def watch(self, name: str, check: Check) -> None:
        """Make `check` the condition called `name`, for instance `store`."""
        self._checks[name] = check

    @contextmanager
    def calling(self, peer: Peer) -> Iterator[None]:
        """Count a peer among those that this service calls while the block runs."""
        self._peers.append(peer)
        try:
            yield
        finally:
            self._peers.remove(peer)

    def started(self) -> None:
        """Note that the service begins to serve."""
        self.start_time_s = self._clock.now()

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The services that this one calls now."""
        return tuple(peer for peer in self._peers if peer.needed())

    def conditions(self) -> dict[str, Condition]:
        """Look at everything that is watched, and at every peer."""
        found = {name: _look(check) for name, check in self._checks.items()}
        peers = self.peers
        names = [peer.name for peer in peers]
        for peer in peers:
            alone = names.count(peer.name) == 1
            name = f"peer {peer.name}" if alone else f"peer {peer.name} at {peer.address}"
            # Two ways to one address are one peer, as well as the worse of the two.
            found[name] = worst(found.get(name, HEALTHY), _look(peer.check))
        return found


def worst(*conditions: Condition) -> Condition:
    """Return the worst of some conditions, the first of equals."""
    return max(conditions, key=lambda condition: condition.level, default=HEALTHY)


@asynccontextmanager
async def following(
    health: Health,
    publish: Callable[[Level], Awaitable[object]],
    log: FilteringBoundLogger,
    pause: Callable[[], Awaitable[object]] | None = None,
) -> AsyncIterator[None]:
    """Publish the service's level before the block and, several times a second, while it runs.

    Each condition that changes its level is logged.
    """
    wait = pause or _a_moment
    known = health.conditions()
    await publish(worst(*known.values()).level)

    async def follow(before: dict[str, Condition]) -> None:
        while True:
            await wait()
            now = health.conditions()
            await publish(worst(*now.values()).level)
            _log_changes(before, now, log)
            before = now

    task = asyncio.create_task(follow(known))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _look(check: Check) -> Condition:
    try:
        return check()
    except Exception as defect:  # noqa: BLE001 - a broken check must not hide all the others
        return degraded(f"cannot tell: {type(defect).__name__}")


def _log_changes(
    before: Mapping[str, Condition], now: Mapping[str, Condition], log: FilteringBoundLogger
) -> None:
    for name in before.keys() | now.keys():
        was, is_ = before.get(name, HEALTHY), now.get(name, HEALTHY)
        if is_.level == was.level:
            continue
        if is_.level is Level.HEALTHY:
            log.info("condition healthy again", condition=name)
        else:
            log.warning("condition changed", condition=name, level=is_.level.name, why=is_.reason)


async def _a_moment() -> None:
    await asyncio.sleep(_INTERVAL_S)
