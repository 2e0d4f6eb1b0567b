"""How much a server takes on: bounds by class of call, refusals when it is behind, and the stop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pentad_chassis.config import Settings
from pentad_chassis.errors import ResourceExhausted, Unavailable
from pentad_chassis.health import Condition, fullness, worst
from pentad_chassis.lag import LoopLag
from pentad_chassis.telemetry import Telemetry

UNARY, STREAM, PARKED = "unary", "stream", "parked"

_RETRY_FULL_S = 1.0
_RETRY_BEHIND_S = 0.2


class Overloaded(ResourceExhausted):
    """The server has as much in hand as it can hold, or is behind with it."""

    reason = "OVERLOADED"

    def __init__(self, service: str, why: str, retry_after_s: float) -> None:
        super().__init__(f"the {service} service {why}", service=service)
        self.retry_after_s = retry_after_s


class Draining(Unavailable):
    """The server is stopping and ends the calls that only wait."""

    reason = "DRAINING"

    def __init__(self, service: str) -> None:
        super().__init__(
            f"the {service} service is stopping; another replica answers", service=service
        )


class Admission:
    """Counts the calls in hand, by class: answered at once, streamed, or only waiting.

    Calls of `parked` methods wait for something to happen. Calls of `new_work` methods begin what
    nobody waits for yet: they are refused first, for what was begun is worth more than what was
    not.
    """

    def __init__(
        self,
        config: Settings,
        telemetry: Telemetry,
        parked: frozenset[str],
        new_work: frozenset[str],
    ) -> None:
        self._service = telemetry.service
        self._log = telemetry.log
        self._shed = telemetry.metrics.shed
        self._parks = parked
        self._new_work = new_work
        self._lag = LoopLag(config.max_lag_s)
        streams = config.max_streams
        self._room = {UNARY: config.max_in_flight, STREAM: streams, PARKED: streams}
        self._in_hand = dict.fromkeys(self._room, 0)
        self._waiting: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        for kind in self._room:
            gauge = telemetry.metrics.in_flight.labels(kind)
            gauge.set_function(partial(self._in_hand.__getitem__, kind))
        telemetry.health.watch("calls in hand", self._condition)

    def is_draining(self) -> bool:
        """Whether the server is stopping."""
        return self._draining

    def kind_of(self, method: str, *, streams: bool) -> str:
        """Return the class of a method's calls."""
        if method in self._parks:
            return PARKED
        return STREAM if streams else UNARY

    @contextmanager
    def admitted(self, method: str, kind: str) -> Iterator[None]:
        """Hold a place for a call, or raise Overloaded."""
        if self._in_hand[kind] >= self._room[kind]:
            self._shed.labels(kind).inc()
            raise Overloaded(self._service, "has too many calls in hand", _RETRY_FULL_S)
        if method in self._new_work and self._lag.is_behind():
            self._shed.labels("behind").inc()
            raise Overloaded(self._service, "is behind with its work", _RETRY_BEHIND_S)
        self._in_hand[kind] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_hand[kind] -= 1
            if not any(self._in_hand.values()):
                self._idle.set()

    @contextmanager
    def parking(self, kind: str) -> Iterator[None]:
        """Let a stop end the wait inside the block, and nothing that is done outside of it."""
        if kind != PARKED:
            yield
            return
        if self._draining:
            raise Draining(self._service)
        task = asyncio.current_task()
        assert task is not None, "a handler runs in a task"
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._draining:
                raise
            task.uncancel()
            raise Draining(self._service) from None
        finally:
            self._waiting.discard(task)

    def _condition(self) -> Condition:
        return worst(
            *(fullness(self._in_hand[k], room, f"{k} calls") for k, room in self._room.items())
        )

    async def drain(self, grace_s: float) -> None:
        """End the calls that only wait, and give the others `grace_s` seconds to finish."""
        self._draining = True
        for task in self._waiting:
            task.cancel()
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            self._log.warning("calls cut off by the stop", in_hand=dict(self._in_hand))
