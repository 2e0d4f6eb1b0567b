"""Channels whose calls go over a link, from a moment that tests can wait for."""

import asyncio
from collections import Counter
from typing import Any

import grpc

from pentad.chassis.v1.status_service_pb2 import GetStatusRequest
from pentad.chassis.v1.status_service_pb2_grpc import StatusServiceStub
from pentad_chassis.errors import ServiceError, Unimplemented
from pentad_chassis.telemetry import Telemetry

_WITHIN_S = 20.0
_PACE_S = 0.005


def links(telemetry: Telemetry, peer: str) -> int:
    """Return how many links a service has to a peer, over all its channels."""
    return int(telemetry.metrics.registry.get_sample_value("pentad_links", {"peer": peer}) or 0)


async def until_linked(
    channel: grpc.aio.Channel, telemetry: Telemetry, peer: str, *, replicas: int = 1
) -> None:
    """Use the channel until it has a link to each replica of its peer, and no open circuit.

    Links are opened when a channel is used; until then calls go by themselves. What is asked here
    no handler of a test hears of.
    """
    ask = StatusServiceStub(channel).GetStatus
    async with asyncio.timeout(_WITHIN_S):
        heard = False
        while not heard or links(telemetry, peer) < replicas:
            try:
                await ask(GetStatusRequest(), timeout=1.0)
            except ServiceError as error:
                # Over a link it is not known, which is an answer as well.
                heard = isinstance(error, Unimplemented)
            else:
                heard = True
            await asyncio.sleep(_PACE_S)


async def until_rested(channel: grpc.aio.Channel) -> None:
    """Return once nothing is left of any call over the channel's links, at either end.

    That is: no entry, no deadline, nothing to be sent, no task of a call, and no link that was
    replaced. The other end is in this process.
    """
    async with asyncio.timeout(_WITHIN_S):
        while not _rests(channel):  # noqa: ASYNC110 - of counts that nobody announces
            await asyncio.sleep(_PACE_S)


def _rests(channel: Any) -> bool:
    sessions = channel._transport._links._sessions
    running = Counter(_work(task) for task in asyncio.all_tasks())
    if running["Desk._serve"] or running["Links._run"] != len(sessions):
        return False
    return not any(
        session._calls
        or session._waits._waits
        or session._outbox._full
        or session._outbox._long
        or session._outbox._batch.frames
        for session in sessions
    )


def _work(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", ""))
