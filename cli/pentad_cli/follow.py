"""A run's events without gap or repeat, also across a gateway that comes and goes."""

import asyncio
from collections.abc import AsyncIterator

from pentad.gateway.v1.run_service_pb2 import TailRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad_chassis.channel import reading
from pentad_chassis.errors import DeadlineExceeded, Unavailable
from pentad_cli.connection import Client

_STREAM_S = 3600.0
_RECONNECTS = 60
"""Attempts in a row without a new event; about a minute, enough for a restart of the suite."""

_PAUSE_S = 1.0
_ENDS = {"run_completed", "run_failed", "run_cancelled"}


async def follow(client: Client, run_id: str, after: str = "") -> AsyncIterator[Event]:
    """Yield a run's events behind `after` until it ends."""
    failures = 0
    while True:
        try:
            request = TailRunRequest(run_id=run_id, after=after)
            async with reading(client.runs.TailRun(request, timeout=_STREAM_S)) as responses:
                async for response in responses:
                    failures = 0
                    after = response.event.cursor
                    yield response.event
                    if is_end(response.event):
                        return
            # A stream that ended before its run is one that the gateway closed to drain.
            failures += 1
        except (Unavailable, DeadlineExceeded):
            failures += 1
            if failures >= _RECONNECTS or not after:
                raise
        await asyncio.sleep(_PAUSE_S)


def is_end(event: Event) -> bool:
    """Whether nothing follows this event."""
    return event.WhichOneof("kind") in _ENDS
