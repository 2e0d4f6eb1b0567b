"""Following a run's events across failures of the state service."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_service_pb2 import TailRunRequest, TailRunResponse
from pentad_chassis.channel import reading
from pentad_chassis.clock import Clock
from pentad_chassis.errors import DeadlineExceeded, ServiceError, Unavailable

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

STREAM_S = 20.0
"""A stream is left for a new one after this long. A server gives the streams of a connection
that has reached its age 30 s more: left before, none is cut off, and a break is a failure."""

STREAM_TIMEOUT_S = 900.0
"""Deadline of a stream; reached only where the consumer of its events stands still."""

PATIENCE_S = 30.0
"""How long attempts may go on failing before the consumer is told."""

_BACKOFF_S_MIN = 0.05
_BACKOFF_S_MAX = 2.0
_DOUBLINGS_MAX = 6
_RANDOM = random.SystemRandom()


async def follow(
    runs: "RunServiceAsyncStub", request: TailRunRequest, clock: Clock
) -> AsyncGenerator[Sequence[Event], None]:
    """Yield a run's events behind `request.after`, several at once, without gap or repeat.

    A stream that breaks is taken up again behind the last event. Nothing is read ahead of
    the consumer but what gRPC's flow control lets through.
    """
    place = TailRunRequest()
    place.CopyFrom(request)
    patience = Patience(clock)
    while True:
        until = clock.monotonic() + STREAM_S
        try:
            async with reading(runs.TailRun(place, timeout=STREAM_TIMEOUT_S)) as responses:
                while (response := await _next(responses, until - clock.monotonic())) is not None:
                    place.after = response.events[-1].cursor
                    patience.renew()
                    yield response.events
                return
        except TimeoutError:
            patience.renew()  # it stood for all of its time: healthy, if silent
        except (Unavailable, DeadlineExceeded) as error:
            await asyncio.sleep(patience.spend(error))


class Patience:
    """How much longer a stream that keeps breaking is taken up again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing_since: float | None = None
        self._failures = 0

    def renew(self) -> None:
        """Note progress: what failed before does not count any more."""
        self._failing_since = None
        self._failures = 0

    def spend(self, error: ServiceError) -> float:
        """Return how long to wait before the next attempt, or raise `error` when it is enough."""
        now = self._clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= PATIENCE_S:
            raise error
        ceiling = min(_BACKOFF_S_MAX, _BACKOFF_S_MIN * 2 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        asked_for = min(error.retry_after_s or 0.0, PATIENCE_S)
        return max(_RANDOM.uniform(0, ceiling), asked_for)


async def _next(responses: AsyncIterator[TailRunResponse], left_s: float) -> TailRunResponse | None:
    """Return the next response, or None behind the last; TimeoutError after `left_s`."""
    async with asyncio.timeout(left_s):
        return await anext(responses, None)
