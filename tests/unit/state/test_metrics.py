"""What is counted of store and schedule."""

import asyncio
from functools import partial

import pytest
from harness.fakes import until

from pentad_chassis.metrics import Metrics
from pentad_state.errors import StoreUnavailable
from pentad_state.metrics import StateMetrics
from pentad_state.partitions import PARTITIONS
from pentad_state.store import Reply, Script, Value


class Depths:
    """A store whose every partition has two runs that wait, once it can be reached."""

    def __init__(self) -> None:
        self.away = True
        self.asked = 0

    async def call(self, *command: Value, lasting: bool = False) -> Reply:
        assert command[0] == "ZCARD"
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")
        return 2

    async def run(self, script: Script, keys: object, *args: Value) -> Reply:
        raise NotImplementedError

    async def everywhere(self, *command: Value) -> list[Reply]:
        raise NotImplementedError

    async def probe(self, within_s: float) -> list[str]:
        raise NotImplementedError


async def test_the_depth_of_the_schedule_is_sampled_and_outlasts_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pentad_state.metrics._SAMPLE_S", 0.0)
    metrics, store = Metrics(), Depths()
    sampling = asyncio.create_task(StateMetrics(metrics).sample(store))

    await until(lambda: store.asked >= PARTITIONS)
    store.away = False
    depth = partial(metrics.registry.get_sample_value, "pentad_schedule_depth")
    await until(lambda: depth() == 2 * PARTITIONS)
    sampling.cancel()
    await asyncio.gather(sampling, return_exceptions=True)


def test_what_waits_is_read_when_somebody_asks() -> None:
    metrics = Metrics()
    state = StateMetrics(metrics)
    state.watch(lambda: 3, lambda: 4)
    state.exchanged(10, 0.002)
    state.picked_up(waited=True, seconds=1.5)
    state.picked_up(waited=False, seconds=-0.1)

    value = metrics.registry.get_sample_value
    assert value("pentad_store_commands_waiting") == 3
    assert value("pentad_tails_open") == 4
    assert value("pentad_store_batch_commands_sum") == 10
    assert value("pentad_store_round_trip_seconds_count") == 1
    delay = "pentad_schedule_pickup_delay_seconds_sum"
    assert value(delay, {"kind": "waiting"}) == 1.5
    assert value(delay, {"kind": "lost"}) == 0
