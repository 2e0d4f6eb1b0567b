"""Following what is streamed, such as a run's events, across failures of the state service."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_service_pb2 import TailRunRequest, TailRunResponse
from pentad_chassis.channel import Stream, reading
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

_Said = TypeVar("_Said")


async def follow(
    runs: "RunServiceAsyncStub", request: TailRunRequest, clock: Clock
) -> AsyncGenerator[Sequence[Event], None]:
    """Yield a run's events behind `request.after`, several at once, without gap or repeat."""
    place = TailRunRequest()
    place.CopyFrom(request)

    def go_on(said: TailRunResponse) -> None:
        place.after = said.events[-1].cursor

    def begin() -> Stream[TailRunResponse]:
        return runs.TailRun(place, timeout=STREAM_TIMEOUT_S)

    async with aclosing(resuming(begin, go_on, clock)) as responses:
        async for response in responses:
            yield response.events


async def resuming(
    begin: Callable[[], Stream[_Said]], go_on: Callable[[_Said], None], clock: Clock
) -> AsyncGenerator[_Said, None]:
    """Yield what a stream says, and, if it breaks, what one says that is begun in its place.

    `go_on` has the next one begin behind what was said. Nothing is read ahead of the consumer but
    what gRPC's flow control lets through.
    """
    patience = Patience(clock)
    while True:
        until = clock.monotonic() + STREAM_S
        try:
            async with reading(begin()) as responses:
                while (said := await _next(responses, until - clock.monotonic())) is not None:
                    go_on(said)
                    patience.renew()
                    yield said
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


async def _next(responses: AsyncIterator[_Said], left_s: float) -> _Said | None:
    """Return the next response, or None behind the last; TimeoutError after `left_s`."""
    async with asyncio.timeout(left_s):
        return await anext(responses, None)
