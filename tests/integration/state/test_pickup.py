"""What breaks between service and store delays work by no more than a lease and a second."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.engines import ask, running_engine
from harness.faults import BLACK_HOLE, CUT_RESPONSES, FaultProxy, open_proxy
from harness.runs import TENANT, by, create

from pentad.state.v1.run_pb2 import RunSpec, RunStatus
from pentad.state.v1.run_service_pb2 import Claim, ClaimedRun
from pentad_chassis.telemetry import silent_telemetry
from pentad_state import app, schedule
from pentad_state import signals as signals_module
from pentad_state.app import open_core
from pentad_state.config import Config
from pentad_state.connection import Address
from pentad_state.core import StateCore
from pentad_state.engine import open_engine
from pentad_state.errors import StoreUnavailable
from pentad_state.partitions import partition_of_run
from pentad_state.signals import Signals

LEASE_S = 10.0
"""The default of the orchestrator."""

SHORT_LEASE_S = 1.0


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    with running_engine("valkey") as url:
        yield url


@pytest.fixture
async def core(engine: str) -> AsyncIterator[StateCore]:
    """A replica whose connections are sound."""
    ask(engine, "FLUSHALL")
    async with open_core(engine, Config(), silent_telemetry("state")) as opened:
        yield opened


class Route:
    """A way to the engine that can die under a connection, while a new one finds a sound way."""

    def __init__(self, engine: str, proxy: FaultProxy, link: Path) -> None:
        self._engine = engine
        self._link = link
        self.proxy = proxy
        self.url = f"unix://{link}"
        self._lead(proxy.address.removeprefix("unix:"))

    async def half_open(self) -> None:
        """Swallow what goes over the connections that stand; neither end learns of it."""
        await self.proxy.begin(BLACK_HOLE)
        self._lead(self._engine.removeprefix("unix://"))

    def _lead(self, to: str) -> None:
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(to)


@pytest.fixture
async def route(engine: str, tmp_path: Path) -> AsyncIterator[Route]:
    target = f"unix:{engine.removeprefix('unix://')}"
    async with open_proxy(target, f"unix:{tmp_path / 'proxy'}") as proxy:
        yield Route(engine, proxy, tmp_path / "link")


@asynccontextmanager
async def split_core(
    monkeypatch: pytest.MonkeyPatch, *, pipe: str, signals: str
) -> AsyncIterator[StateCore]:
    """Have a core whose commands and whose announcements go different ways."""
    monkeypatch.setattr(
        app, "Signals", lambda _, listeners, log: Signals(Address(signals), listeners, log)
    )
    async with open_core(pipe, Config(), silent_telemetry("state")) as opened:
        yield opened


async def claim_one(core: StateCore, claim: Claim) -> ClaimedRun:
    """Ask for work as an orchestrator does: again and again, through outages."""
    async with asyncio.timeout(30):
        while True:
            try:
                runs, _ = await core.schedule.poll(claim, 1, POLL_S)
            except StoreUnavailable:
                await asyncio.sleep(0.05)
                continue
            if runs:
                return runs[0]


@asynccontextmanager
async def parked(core: StateCore) -> AsyncIterator["asyncio.Task[ClaimedRun]"]:
    """Have an owner wait for work meanwhile."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(claim_one(core, by("waiter")))
        await asyncio.sleep(0.2)
        yield task
        task.cancel()


async def until_held(core: StateCore, run_id: str) -> None:
    for _ in range(500):
        run, _ = await core.runs.get(TENANT, run_id)
        if run.status.state != RunStatus.STATE_QUEUED:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody took it")


POLL_S = 10.0
"""After so long an owner asks anew, and is told of what it has not heard of."""


async def arrives(
    task: "asyncio.Task[ClaimedRun]", run_id: str, within_s: float = LEASE_S + 1.0
) -> None:
    """Wait until who waits has the run, for the longest that may keep it from there."""
    async with asyncio.timeout(within_s):
        assert (await task).lease.run_id == run_id


@pytest.fixture
def unswept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks for what is not announced while a test lasts."""
    monkeypatch.setattr(schedule, "_SWEEP_S", 3600.0)


@pytest.mark.usefixtures("unswept")
async def test_work_finds_who_waits_by_announcement(core: StateCore) -> None:
    for i in range(10):
        async with parked(core) as task:
            run = await create(core, f"r{i}")
            await arrives(task, run.run_id, within_s=POLL_S * 0.8)


async def test_what_a_half_open_subscription_missed_is_found_all_the_same(
    core: StateCore, route: Route, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        split_core(monkeypatch, pipe=engine, signals=route.url) as deaf,
        parked(deaf) as task,
    ):
        await route.half_open()
        run = await create(core, "unannounced")
        await arrives(task, run.run_id)


@pytest.mark.usefixtures("unswept")
async def test_a_half_open_subscription_is_replaced(
    core: StateCore, route: Route, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals_module, "_SILENCE_S", 0.2)
    async with (
        split_core(monkeypatch, pipe=engine, signals=route.url) as deaf,
        parked(deaf) as task,
        asyncio.timeout(POLL_S * 0.8),
    ):
        await route.half_open()
        for number in itertools.count():
            # Each is announced once: the one that comes is announced over the new subscription.
            await create(core, f"r{number}")
            if (await asyncio.wait([task], timeout=0.1))[0]:
                break


async def test_what_a_killed_subscription_missed_is_found_all_the_same(
    core: StateCore, engine: str
) -> None:
    async with parked(core) as task:
        ask(engine, "CLIENT", "KILL", "TYPE", "pubsub")
        run = await create(core)
        await arrives(task, run.run_id)


async def test_commands_over_a_half_open_connection_cost_less_than_a_lease(
    core: StateCore, route: Route, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        split_core(monkeypatch, pipe=route.url, signals=engine) as stuck,
        parked(stuck) as task,
    ):
        await route.half_open()
        run = await create(core)

        await arrives(task, run.run_id)


async def test_a_run_claimed_by_a_replica_that_died_comes_back_with_its_lease(
    core: StateCore, route: Route
) -> None:
    run = await create(core)
    (view,) = (await core.leases.peek([partition_of_run(run.run_id)], 1)).values()
    async with open_core(route.url, Config(), silent_telemetry("state")) as dying:
        await route.proxy.begin(CUT_RESPONSES)
        claim = dying.leases.claim(view.candidates[0], by("one", SHORT_LEASE_S))
        async with asyncio.TaskGroup() as group:
            lost = group.create_task(claim)
            await until_held(core, run.run_id)  # and its owner will never hear of it

            held = await claim_one(core, by("two"))

            assert held.lease.run_id == run.run_id
            assert held.owner_lost
            lost.cancel()


async def test_a_replica_that_died_does_not_keep_work_from_the_others(
    core: StateCore, route: Route
) -> None:
    async with (
        open_core(route.url, Config(), silent_telemetry("state")) as dying,
        parked(dying),
        parked(core) as task,
    ):
        await route.half_open()
        run = await create(core)

        await arrives(task, run.run_id)


async def test_an_engine_that_restarts_delays_work_by_no_more_than_its_start(
    tmp_path: Path,
) -> None:
    config, telemetry = Config(data_dir=tmp_path), silent_telemetry("state")
    async with open_engine(config, telemetry) as url, open_core(url, config, telemetry) as core:
        await create(core, "held")
        gone = await claim_one(core, by("dead", SHORT_LEASE_S))
        async with parked(core) as task:
            info = ask(url, "INFO", "server")
            assert isinstance(info, dict)
            os.kill(int(info["process_id"]), signal.SIGKILL)

            held = await task

        assert held.lease.run_id == gone.lease.run_id
        assert held.owner_lost
        async with parked(core) as task:
            run = await create(core, "new")
            await arrives(task, run.run_id)


async def test_a_start_that_comes_while_the_engine_is_away_is_not_missed(tmp_path: Path) -> None:
    config, telemetry = Config(data_dir=tmp_path), silent_telemetry("state")
    async with open_engine(config, telemetry) as url, open_core(url, config, telemetry) as core:
        starts_at = time.time() + 0.5
        spec = RunSpec(agent="echo")
        spec.start_time.FromMilliseconds(int(starts_at * 1000))
        run = await create(core, spec=spec)
        async with parked(core) as task:
            info = ask(url, "INFO", "server")
            assert isinstance(info, dict)
            os.kill(int(info["process_id"]), signal.SIGKILL)

            held = await task

        assert held.lease.run_id == run.run_id
        assert time.time() >= starts_at
