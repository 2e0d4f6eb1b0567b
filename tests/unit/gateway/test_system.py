"""The whole is as well as its parts let it be."""

import asyncio

import pytest

from pentad.chassis.v1 import status_service_pb2 as pb
from pentad_chassis.clock import FakeClock
from pentad_chassis.health import HEALTHY, Health, Peer, always, degraded
from pentad_gateway.system import SystemCore, level_of

WELL, WEAK, ILL = pb.LEVEL_HEALTHY, pb.LEVEL_DEGRADED, pb.LEVEL_UNHEALTHY


def status(service: str, level: pb.Level.ValueType, instance: str = "1") -> pb.ServiceStatus:
    return pb.ServiceStatus(service=service, instance=instance, level=level)


@pytest.mark.parametrize(
    ("services", "level"),
    [
        ([status("a", WELL), status("b", WELL)], WELL),
        ([status("a", WELL), status("b", WEAK)], WEAK),
        ([status("a", WELL), status("b", ILL)], ILL),
        ([status("a", WELL), status("b", ILL), status("b", WELL, "2")], WEAK),
        ([status("b", ILL), status("b", WEAK, "2")], WEAK),
        ([status("b", ILL), status("b", ILL, "2"), status("a", WELL)], ILL),
    ],
)
def test_a_service_needs_one_replica_that_works(
    services: list[pb.ServiceStatus], level: pb.Level.ValueType
) -> None:
    assert level_of(services) == level


class Looked:
    """A gateway with two peers, that counts how often they are asked."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.health = Health("gateway")
        self.core = SystemCore(self.health, self.clock)
        self.depths: list[int] = []

    async def ask(self, depth: int, _: float) -> list[pb.ServiceStatus]:
        self.depths.append(depth)
        await asyncio.sleep(0)
        return [status("tools", WELL, "2"), status("tools", WELL, "1"), status("executor", WELL)]

    def peer(self) -> Peer:
        return Peer("tools", "here", lambda: HEALTHY, self.ask, always)


async def test_services_and_replicas_stand_in_order() -> None:
    looked = Looked()
    looked.health.watch("calls in hand", lambda: degraded("full"))
    with looked.health.calling(looked.peer()):
        found = await looked.core.get_system_status()

    assert [(s.service, s.instance) for s in found.services] == [
        ("executor", "1"),
        ("gateway", looked.health.instance),
        ("tools", "1"),
        ("tools", "2"),
    ]
    assert found.level == WEAK
    assert looked.depths == [1], "peers are asked for their own peers as well"


async def test_however_many_ask_at_once_the_services_are_asked_once() -> None:
    looked = Looked()
    with looked.health.calling(looked.peer()):
        await asyncio.gather(*(looked.core.get_system_status() for _ in range(20)))
        assert len(looked.depths) == 1

        looked.clock.advance(0.6)
        await looked.core.get_system_status()
        assert len(looked.depths) == 2
