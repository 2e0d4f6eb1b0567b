"""How much a server takes on: bounds by class of call, a gate for new work, and the stop."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from pentad_chassis.config import Settings
from pentad_chassis.errors import DeadlineExceeded, ResourceExhausted, ServiceError, Unavailable
from pentad_chassis.gate import Gate
from pentad_chassis.health import Condition, fullness, worst
from pentad_chassis.telemetry import Telemetry
from pentad_chassis.waits import Waits

Behaviour = Callable[[Any, Any], Awaitable[Any]]

UNARY, STREAM, PARKED = "unary", "stream", "parked"

_RETRY_FULL_S = 1.0
_RETRY_BEHIND_S = 0.2
_HOLD_OFF_S = 0.05
"""Shorter than what is behind takes for what it has in hand, so that it is never left idle."""


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
    nobody waits for yet: they pass a gate, for what was begun is worth more than what was not.
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
        self._held_off_until = 0.0
        self._gate = Gate(config.max_beginning, config.max_queue_s)
        streams = config.max_streams
        self._room = {UNARY: config.max_in_flight, STREAM: streams, PARKED: streams}
        self._in_hand = dict.fromkeys(self._room, 0)
        self._waits = Waits(self._overdue)
        self._parked = Waits(self._overdue)
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

    def admit(self, method: str, kind: str) -> None:
        """Take a place for a call, which is to be released, or raise Overloaded."""
        if self._in_hand[kind] >= self._room[kind]:
            self._shed.labels(kind).inc()
            raise Overloaded(self._service, "has too many calls in hand", _RETRY_FULL_S)
        if method in self._new_work and self._is_behind():
            self._shed.labels("new work").inc()
            raise Overloaded(self._service, "is asked for more than can be done", _RETRY_BEHIND_S)
        self._in_hand[kind] += 1
        self._idle.clear()

    def _is_behind(self) -> bool:
        return self._gate.is_jammed or time.monotonic() < self._held_off_until

    def refused(self, method: str, error: ServiceError) -> None:
        """Take note of an error: a service that has no room is not asked for more at once.

        Of all refusals, the one at the edge costs the least.
        """
        if method in self._new_work and error.reason == Overloaded.reason:
            self._held_off_until = time.monotonic() + _HOLD_OFF_S

    def gated(self, method: str, behaviour: Behaviour) -> Behaviour:
        """Return what a method does, with the gate before it where it begins new work."""
        if method not in self._new_work:
            return behaviour

        async def pass_and_behave(request: Any, context: Any) -> Any:
            async with self._gate.passing():
                return await behaviour(request, context)

        return pass_and_behave

    def release(self, kind: str) -> None:
        """Give back the place of a call."""
        self._in_hand[kind] -= 1
        if not any(self._in_hand.values()):
            self._idle.set()

    def waiting(self, kind: str, until: float | None) -> AbstractContextManager[object]:
        """Return a block that ends with DeadlineExceeded at `until`, by the loop's clock.

        A stop ends it with Draining where the call only waits, and nothing that is done outside.
        """
        if kind != PARKED:
            return self._waits.until(until)
        if self._draining:
            raise Draining(self._service)
        return self._parked.until(until)

    def _overdue(self) -> DeadlineExceeded:
        # Whatever a handler waits for, a caller that hears nothing would take the peer for ill.
        return DeadlineExceeded(f"the {self._service} service ran out of time")

    def _condition(self) -> Condition:
        return worst(
            *(fullness(self._in_hand[k], room, f"{k} calls") for k, room in self._room.items())
        )

    async def drain(self, grace_s: float) -> None:
        """End the calls that only wait, and give the others `grace_s` seconds to finish."""
        self._draining = True
        self._parked.interrupt(lambda: Draining(self._service))
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            self._log.warning("calls cut off by the stop", in_hand=dict(self._in_hand))
