"""A service is as well as the worst of what it depends on."""

import asyncio
import io
from collections.abc import Callable

import pytest

from pentad.chassis.v1 import status_service_pb2 as pb
from pentad_chassis.clock import FakeClock
from pentad_chassis.health import (
    HEALTHY,
    Condition,
    Health,
    Level,
    Peer,
    always,
    degraded,
    following,
    fullness,
    unhealthy,
    worst,
)
from pentad_chassis.status_servicer import DEPTH_MAX, status_of, survey
from pentad_chassis.telemetry import open_telemetry, silent_telemetry


class Asked:
    """A peer that answers what it is given, and remembers what it was asked."""

    def __init__(self, *answer: pb.ServiceStatus, condition: Condition = HEALTHY) -> None:
        self.answer = list(answer)
        self.condition = condition
        self.asked: list[tuple[int, float]] = []

    async def ask(self, depth: int, timeout_s: float) -> list[pb.ServiceStatus]:
        self.asked.append((depth, timeout_s))
        return self.answer

    def named(
        self, name: str, address: str = "here:1", needed: Callable[[], bool] = always
    ) -> Peer:
        return Peer(name, address, lambda: self.condition, self.ask, needed)


def status(service: str, instance: str = "1") -> pb.ServiceStatus:
    return pb.ServiceStatus(service=service, instance=instance, level=pb.LEVEL_HEALTHY)


@pytest.mark.parametrize(
    ("used", "room", "level"),
    [
        (0, 10, Level.HEALTHY),
        (8, 10, Level.HEALTHY),
        (9, 10, Level.DEGRADED),
        (10, 10, Level.DEGRADED),
        (11, 10, Level.DEGRADED),
        (899, 1000, Level.HEALTHY),
        (900, 1000, Level.DEGRADED),
        (0, 1, Level.HEALTHY),
        (1, 1, Level.DEGRADED),
    ],
)
def test_what_is_nine_tenths_full_is_degraded(used: int, room: int, level: Level) -> None:
    condition = fullness(used, room, "runs")

    assert condition.level is level
    assert condition.reason == ("" if level is Level.HEALTHY else f"{used} of {room} runs")


def test_the_worst_counts() -> None:
    assert worst() == HEALTHY
    assert worst(HEALTHY, degraded("a"), HEALTHY) == degraded("a")
    assert worst(degraded("a"), unhealthy("b"), degraded("c")) == unhealthy("b")


def test_a_check_is_made_when_somebody_asks() -> None:
    health = Health("state")
    found = [HEALTHY]
    health.watch("store", lambda: found[0])
    assert health.conditions() == {"store": HEALTHY}

    found[0] = unhealthy("it cannot be reached")
    assert health.conditions() == {"store": unhealthy("it cannot be reached")}


def test_a_check_that_fails_hides_no_other() -> None:
    health = Health("state")

    def broken() -> Condition:
        raise KeyError("secret")

    health.watch("broken", broken)
    health.watch("store", lambda: HEALTHY)

    found = health.conditions()

    assert found["broken"] == degraded("cannot tell: KeyError")
    assert found["store"] == HEALTHY


def test_peers_come_and_go() -> None:
    health = Health("orchestrator")
    sick, well = Asked(condition=degraded("circuit open")), Asked()
    with health.calling(sick.named("executor")):
        assert health.conditions() == {"peer executor": degraded("circuit open")}
        with health.calling(well.named("executor", "there:2")):
            assert health.conditions() == {
                "peer executor at here:1": degraded("circuit open"),
                "peer executor at there:2": HEALTHY,
            }
        with health.calling(well.named("executor")):
            assert health.conditions() == {"peer executor at here:1": degraded("circuit open")}
    assert health.conditions() == {}


async def test_a_way_that_is_not_taken_does_not_count() -> None:
    health = Health("orchestrator")
    spare, taken = Asked(condition=degraded("circuit open")), [False]
    with health.calling(spare.named("executor", needed=lambda: taken[0])):
        assert health.conditions() == {}
        await survey(health, 1)
        assert spare.asked == []

        taken[0] = True
        assert health.conditions() == {"peer executor": degraded("circuit open")}
        await survey(health, 1)
        assert len(spare.asked) == 1


def test_a_status_says_who_and_since_when() -> None:
    clock = FakeClock(1_800_000_000.5)
    health = Health("state", clock)
    clock.advance(2)
    health.started()
    health.watch("store", lambda: unhealthy("gone"))
    health.watch("store memory", lambda: HEALTHY)

    found = status_of(health)

    assert (found.service, found.instance) == ("state", health.instance)
    assert found.start_time.ToNanoseconds() == 1_800_000_002_500_000_000
    assert found.level == pb.LEVEL_UNHEALTHY
    assert [(c.name, c.level, c.reason) for c in found.conditions] == [
        ("store", pb.LEVEL_UNHEALTHY, "gone"),
        ("store memory", pb.LEVEL_HEALTHY, ""),
    ]
    assert found.version, "the state service is installed"
    assert status_of(Health("nobody")).version == ""
    assert Health("state").instance != health.instance


async def test_a_survey_asks_peers_for_one_level_less_and_gives_them_their_time() -> None:
    health = Health("gateway")
    peer = Asked()
    with health.calling(peer.named("state")):
        await survey(health, 0)
        for depth in (1, 2, 99):
            await survey(health, depth)
        await survey(health, 2, within_s=0.6)

    assert peer.asked[:3] == [(0, 1.0), (1, 2.0), (DEPTH_MAX - 1, 3.0)]
    assert peer.asked[3][1] == pytest.approx(0.5)


async def test_a_survey_tells_of_each_replica_once() -> None:
    health = Health("gateway")
    one = Asked(status("orchestrator"), status("state"), status("tools"))
    two = Asked(status("state"), status("state", "2"))
    with health.calling(one.named("orchestrator")), health.calling(two.named("state")):
        found = await survey(health, 2)

    assert [(s.service, s.instance) for s in found] == [
        ("gateway", health.instance),
        ("orchestrator", "1"),
        ("state", "1"),
        ("tools", "1"),
        ("state", "2"),
    ]


class Ticks:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self._go = asyncio.Semaphore(0)
        self._waits = asyncio.Event()

    async def pause(self) -> None:
        self._waits.set()
        await self._go.acquire()

    async def tick(self) -> None:
        await self._waits.wait()
        self._waits.clear()
        self._go.release()
        await self._waits.wait()


async def test_what_is_published_follows_the_conditions() -> None:
    health, ticks = Health("state"), Ticks()
    found, published = [HEALTHY], list[Level]()
    health.watch("store", lambda: found[0])
    log = io.StringIO()

    async def publish(level: Level) -> None:
        published.append(level)

    telemetry = open_telemetry("state", stream=log)
    async with following(health, publish, telemetry.log, ticks.pause):
        assert published == [Level.HEALTHY], "it is known before anybody can ask"
        for condition in (degraded("a"), unhealthy("b"), unhealthy("c"), HEALTHY):
            found[0] = condition
            await ticks.tick()

    assert published[1:] == [Level.DEGRADED, Level.UNHEALTHY, Level.UNHEALTHY, Level.HEALTHY]
    lines = log.getvalue().splitlines()
    assert len(lines) == 3, "a change of the reason alone is not worth a line"
    assert '"why": "a"' in lines[0]
    assert "healthy again" in lines[2]


async def test_nothing_follows_after_the_block() -> None:
    published: list[Level] = []

    async def publish(level: Level) -> None:
        published.append(level)

    log = silent_telemetry("state").log
    async with following(Health("state"), publish, log, Ticks().pause):
        pass

    assert published == [Level.HEALTHY]
    assert len(asyncio.all_tasks()) == 1
