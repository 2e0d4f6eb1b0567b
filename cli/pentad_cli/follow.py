"""A run's events without gap or repeat, also across a gateway that comes and goes."""

import asyncio
from collections.abc import AsyncIterator

from pentad.gateway.v1.run_service_pb2 import TailRunRequest
from pentad.state.v1.event_pb2 import Event
from pentad_chassis.channel import reading
from pentad_chassis.errors import DeadlineExceeded, ServiceError
from pentad_cli.connection import Client
from pentad_cli.persist import may_pass

_STREAM_S = 3600.0
_RECONNECTS = 60
"""Attempts in a row without a new event; about a minute, enough for a restart of the suite."""

_PAUSE_S = 1.0
_FIRST_PAUSE_S = 0.1
_ENDS = {"run_completed", "run_failed", "run_cancelled"}


async def follow(
    client: Client, run_id: str, after: str = "", *, known: bool = False
) -> AsyncIterator[Event]:
    """Yield a run's events behind `after` until it ends.

    A suite that is not `known` to be there, and has not sent an event, is not waited for.
    """
    failures, known = 0, known or bool(after)
    while True:
        asked_s = 0.0
        try:
            request = TailRunRequest(run_id=run_id, after=after)
            async with reading(client.runs.TailRun(request, timeout=_STREAM_S)) as responses:
                async for response in responses:
                    failures, known = 0, True
                    for event in response.events:
                        after = event.cursor
                        yield event
                        if is_end(event):
                            return
            # A stream that ended before its run is one that the gateway closed to drain.
        except ServiceError as error:
            again = may_pass(error) or isinstance(error, DeadlineExceeded)
            if not again or not known or failures + 1 >= _RECONNECTS:
                raise
            asked_s = error.retry_after_s or 0.0
        failures += 1
        await asyncio.sleep(max(asked_s, min(failures * _FIRST_PAUSE_S, _PAUSE_S)))


def is_end(event: Event) -> bool:
    """Whether nothing follows this event."""
    return event.WhichOneof("kind") in _ENDS
