"""What the store's answers, and its silence, say of the service's health."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from harness.fakes import until

from pentad_chassis.health import HEALTHY, Level, degraded, unhealthy
from pentad_chassis.telemetry import silent_telemetry
from pentad_state import pulse as module
from pentad_state.config import Config
from pentad_state.errors import StoreUnavailable
from pentad_state.probes import probe
from pentad_state.pulse import Pulse
from pentad_state.soundness import StoreTooOld
from pentad_state.store import Reply, Script, Value


class FakeStore:
    """A server whose answers are given by a test."""

    def __init__(self) -> None:
        self.version = "7.2.4"
        self.settings = {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "always",
        }
        self.memory = "used_memory:10\r\nmaxmemory:0"
        self.replication = "role:master"
        self.lost = 0
        """Calls that fail from now on."""
        self.hangs = False
        self.others: list[str] = []
        """Of further servers why they are away, or nothing."""
        self.looked: list[str] = []

    async def call(self, *command: Value, lasting: bool = False) -> Reply:
        if self.hangs:
            await asyncio.Event().wait()
        if self.lost > 0:
            self.lost -= 1
            raise StoreUnavailable("the connection was lost")
        match command:
            case ("PING",):
                return b"PONG"
            case ("INFO", "server"):
                return f"# Server\r\nredis_version:{self.version}".encode()
            case ("INFO", "replication"):
                return self.replication.encode()
            case ("INFO", "memory"):
                return f"# Memory\r\n{self.memory}".encode()
            case ("CONFIG", "GET", str(name)):
                self.looked.append(name)
                return [name.encode(), self.settings[name].encode()]
        raise AssertionError(command)

    async def run(self, script: Script, keys: Sequence[Value], *args: Value) -> Reply:
        raise AssertionError

    async def everywhere(self, *command: Value) -> list[Reply]:
        return [await self.call(*command)]

    async def probe(self, within_s: float) -> list[str]:
        return [await probe(self.call("PING"), within_s=within_s), *self.others]


ALWAYS = 1_000_000


class Felt:
    def __init__(self, **settings: Any) -> None:
        self.store = FakeStore()
        self.telemetry = silent_telemetry("state")
        self.alarm = asyncio.Event()
        self.pulse = Pulse(self.store, Config(**settings), self.telemetry, self.alarm)

    @property
    def wrong(self) -> dict[str, str]:
        found = self.telemetry.health.conditions()
        return {name: c.reason for name, c in found.items() if c != HEALTHY}


async def test_a_store_that_answers_is_well() -> None:
    felt = Felt()
    await felt.pulse.begin()

    assert felt.wrong == {}
    assert list(felt.telemetry.health.conditions()) == ["store", "store memory", "store settings"]


async def test_a_store_that_is_away_is_unhealthy_until_it_is_back() -> None:
    felt = Felt()
    await felt.pulse.begin()
    felt.store.lost = ALWAYS
    await felt.pulse.beat()
    found = felt.telemetry.health.conditions()["store"]
    assert found == unhealthy("the connection was lost")

    felt.store.lost = 0
    await felt.pulse.beat()
    assert felt.wrong == {}


async def test_a_connection_lost_and_found_again_is_no_outage() -> None:
    felt = Felt()
    await felt.pulse.begin()
    felt.store.lost = 1

    await felt.pulse.beat()

    assert felt.wrong == {}


async def test_one_of_several_servers_that_is_away_leaves_the_others_in_use() -> None:
    felt = Felt()
    felt.store.others = ["", "it cannot be reached"]
    await felt.pulse.begin()
    await felt.pulse.beat()

    assert felt.telemetry.health.conditions()["store"] == degraded(
        "1 of 3 primaries away; what they hold waits: it cannot be reached"
    )
    felt.store.others = ["", ""]
    await felt.pulse.beat()
    assert felt.wrong == {}


async def test_a_connection_that_fell_silent_makes_it_feel_at_once_and_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_INTERVAL_S", 1000.0)
    monkeypatch.setattr(module, "_INTERVAL_SILENT_S", 1000.0)
    felt = Felt()
    await felt.pulse.begin()
    task = asyncio.create_task(felt.pulse.serve())
    felt.store.lost = 1
    felt.alarm.set()

    await until(lambda: "store" in felt.wrong)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_store_that_hangs_is_away() -> None:
    felt = Felt(reply_s=0.01)
    await felt.pulse.begin()
    felt.store.hangs = True

    await felt.pulse.beat()

    assert felt.wrong == {"store": "no answer within 0.01 s"}


async def test_a_store_away_at_the_start_is_judged_when_it_comes() -> None:
    felt = Felt()
    felt.store.lost = ALWAYS
    felt.store.settings["appendonly"] = "no"
    await felt.pulse.begin()
    assert list(felt.wrong) == ["store"]

    felt.store.lost = 0
    await felt.pulse.beat()

    assert list(felt.wrong) == ["store settings"]


async def test_unsafe_settings_degrade_and_are_looked_at_again_after_an_outage() -> None:
    felt = Felt()
    felt.store.settings |= {"maxmemory-policy": "allkeys-lru", "appendonly": "no"}
    await felt.pulse.begin()
    found = felt.telemetry.health.conditions()["store settings"]
    assert found == degraded(
        "maxmemory-policy allkeys-lru: the store may drop runs to make room; "
        "appendonly no: accepted runs are lost when the store stops"
    )
    looked = len(felt.store.looked)
    await felt.pulse.beat()
    assert len(felt.store.looked) == looked, "settings are not asked for every second"

    felt.store.settings |= {"maxmemory-policy": "noeviction", "appendonly": "yes"}
    felt.store.lost = 2
    await felt.pulse.beat()
    await felt.pulse.beat()
    assert felt.wrong == {}


@pytest.mark.parametrize(
    ("used", "most", "level"),
    [(89, 100, Level.HEALTHY), (90, 100, Level.DEGRADED), (10**12, 0, Level.HEALTHY)],
)
async def test_a_store_that_is_nearly_full_is_degraded(used: int, most: int, level: Level) -> None:
    felt = Felt()
    felt.store.memory = f"used_memory:{used}\r\nmaxmemory:{most}"
    await felt.pulse.begin()

    found = felt.telemetry.health.conditions()["store memory"]

    assert found.level is level
    if level is Level.DEGRADED:
        assert found.reason == "90 of 100 bytes; a full store refuses every write"


@pytest.mark.parametrize(
    ("durability", "fsync", "wrong"),
    [
        ("process", "everysec", []),
        ("disk", "everysec", ["store settings"]),
        ("process", "no", ["store settings"]),
    ],
)
async def test_settings_are_judged_by_what_is_promised(
    durability: str, fsync: str, wrong: list[str]
) -> None:
    felt = Felt(durability=durability)
    felt.store.settings["appendfsync"] = fsync

    await felt.pulse.begin()

    assert list(felt.wrong) == wrong


async def test_replicas_that_are_short_degrade_a_store_that_promises_them() -> None:
    felt = Felt(durability="replicated", replicas=2, redis_url="redis://localhost")
    online = "slave{}:ip=127.0.0.1,port=1,state=online,offset=1,lag=0\r\n".format
    felt.store.replication = online(0) + "slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0"
    await felt.pulse.begin()
    assert felt.wrong == {"store replicas": "1 of 2; writes are not acknowledged"}

    felt.store.replication = online(0) + online(1)
    await felt.pulse.beat()
    assert felt.wrong == {}


async def test_a_store_that_comes_back_too_old_is_unhealthy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    felt = Felt()
    felt.store.version = "6.0.16"
    with pytest.raises(StoreTooOld):
        await felt.pulse.begin()

    felt.store.version = "7.2.4"
    await felt.pulse.begin()
    felt.store.lost = 2
    await felt.pulse.beat()
    felt.store.version = "6.0.16"
    monkeypatch.setattr(module, "_INTERVAL_SILENT_S", 0.0)
    task = asyncio.create_task(felt.pulse.serve())
    await until(lambda: "6.0.16" in felt.wrong.get("store", ""))
    assert not task.done(), "the pulse goes on"

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
