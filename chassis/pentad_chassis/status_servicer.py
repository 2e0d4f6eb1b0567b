"""StatusService: how this service is, and what it finds when it asks its peers."""

import asyncio
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from pentad.chassis.v1 import status_service_pb2 as pb
from pentad.chassis.v1.status_service_pb2_grpc import StatusServiceServicer
from pentad_chassis.health import Health, Level, worst

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext  # not subscriptable at run time

STATUS_SERVICE = pb.DESCRIPTOR.services_by_name["StatusService"].full_name

DEPTH_MAX = 3

_ANSWER_S = 1.0
"""For each level below: a peer that asks its own peers needs their time as well."""

_REPORT_S = 0.1
"""Kept of the asker's time, to tell it of a peer that stays silent."""


class StatusServicer(StatusServiceServicer):
    """The RPCs of StatusService."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def GetStatus(
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """Return this service's status and, as far as it is to look, its peers'."""
        found = await survey(self._health, request.depth, context.time_remaining())
        return pb.GetStatusResponse(services=found)


async def survey(
    health: Health, depth: int, within_s: float | None = None
) -> list[pb.ServiceStatus]:
    """Return a service's own status, then those of its peers, each replica once."""
    found = [status_of(health)]
    depth = min(depth, DEPTH_MAX)
    if depth > 0:
        timeout_s = _ANSWER_S * depth
        if within_s is not None:
            timeout_s = min(timeout_s, max(0.0, within_s - _REPORT_S))
        answers = await asyncio.gather(*(peer.ask(depth - 1, timeout_s) for peer in health.peers))
        found += [status for answer in answers for status in answer]
    known: dict[tuple[str, str], pb.ServiceStatus] = {}
    for status in found:
        # Several services call one replica, and each tells of it; the first answer stands.
        known.setdefault((status.service, status.instance), status)
    return list(known.values())


def status_of(health: Health) -> pb.ServiceStatus:
    """Return how a service is now."""
    conditions = health.conditions()
    start_time = Timestamp()
    start_time.FromNanoseconds(int(health.start_time_s * 1e9))
    return pb.ServiceStatus(
        service=health.service,
        instance=health.instance,
        level=_to_proto(worst(*conditions.values()).level),
        conditions=[
            pb.Condition(name=name, level=_to_proto(c.level), reason=c.reason)
            for name, c in conditions.items()
        ],
        start_time=start_time,
        version=_version(health.service),
    )


def _to_proto(level: Level) -> "pb.Level.ValueType":
    return pb.Level.Value(f"LEVEL_{level.name}")


@cache
def _version(service: str) -> str:
    try:
        return version(f"pentad-{service}")
    except PackageNotFoundError:
        return ""  # run from a source tree that is not installed
