"""What a process holds: never longer than it may, never more than it can."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness.fake_state import FakeRuns
from harness.fakes import direct, until
from unit.orchestrator.story import simple

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.run_service_pb2 import Claim, ClaimedRun, ClaimRunsRequest, Lease, RunSignals
from pentad_chassis.clock import FakeClock
from pentad_chassis.metrics import Metrics
from pentad_chassis.telemetry import silent_telemetry
from pentad_orchestrator.config import Config
from pentad_orchestrator.leases import Leases
from pentad_orchestrator.metrics import RunMetrics
from pentad_orchestrator.owned import OwnedRuns

LOG = silent_telemetry("orchestrator").log


class Driver:
    """Works until it is told to stop, and remembers what it was told."""

    def __init__(self, claimed: ClaimedRun) -> None:
        self.claimed = claimed
        self.told: list[str] = []
        self.ended = False
        self.lost = False
        self._at_rest = asyncio.Event()

    async def drive(self) -> None:
        await self._at_rest.wait()

    def end(self) -> None:
        self.ended = True
        self._at_rest.set()

    def drain(self) -> None:
        self.told.append("drain")

    def rest(self) -> None:
        self._at_rest.set()

    def cancel(self, reason: str) -> None:
        self.told.append(f"cancel: {reason}")

    def pause(self, reason: str) -> None:
        self.told.append(f"pause: {reason}")

    def tell(self, signals: RunSignals) -> None:
        self.told.append(f"tell: {signals.first}")

    def revoke(self, reason: str) -> None:
        self.lost = True
        self.told.append(f"revoke: {reason}")


class Process:
    """Owned runs among fakes."""

    def __init__(self, tasks: asyncio.TaskGroup, runs: FakeRuns) -> None:
        self.clock = FakeClock()
        self.drivers: list[Driver] = []
        self.claim = Claim(owner="me")
        self.claim.lease.FromSeconds(10)
        self.runs = runs
        config = Config(max_runs=2, lease_s=10.0)
        self.owned = OwnedRuns(
            tasks,
            self._drive,  # type: ignore[arg-type]
            config,
            self.clock,
            LOG,
            RunMetrics(Metrics()),
        )
        self.leases = Leases(direct(runs), self.claim, self.owned, self.clock, LOG)

    async def take(self, run_id: str) -> Driver:
        self.runs.seed(run_id, Event(run_created=simple()))
        request = ClaimRunsRequest(claim=self.claim, limit=1)
        (claimed,) = (await self.runs.ClaimRuns(request, None)).runs
        self.owned.adopt(claimed)
        await asyncio.sleep(0)
        return self.drivers[-1]

    def _drive(self, claimed: ClaimedRun) -> Driver:
        self.drivers.append(Driver(claimed))
        return self.drivers[-1]


@asynccontextmanager
async def process() -> AsyncIterator[Process]:
    async with asyncio.TaskGroup() as tasks:
        made = Process(tasks, FakeRuns())
        yield made
        for driver in made.drivers:
            driver.end()


async def test_room_is_what_is_left_and_none_at_rest() -> None:
    async with process() as made:
        assert made.owned.room == 2
        first = await made.take("07-a")
        await made.take("07-b")
        assert made.owned.room == 0
        first.end()
        await made.owned.room_made.wait()
        assert made.owned.room == 1
        made.owned.rest()
        assert made.owned.room == 0


async def test_a_lease_that_is_not_renewed_is_given_up_before_it_ends() -> None:
    async with process() as made:
        driver = await made.take("07-a")
        made.clock.advance(7.9)
        made.owned.lose_overdue()
        assert driver.told == []
        made.clock.advance(0.2)
        made.owned.lose_overdue()

    assert driver.told == ["revoke: NOT_RENEWED"]


async def test_a_renewal_counts_from_when_it_was_sent() -> None:
    async with process() as made:
        driver = await made.take("07-a")
        made.clock.advance(7)
        assert await made.leases.renew_all()
        made.clock.advance(7)
        made.owned.lose_overdue()
        assert driver.told == []


async def test_a_renewal_stops_what_another_owner_has_but_not_what_was_claimed_anew() -> None:
    async with process() as made:
        driver = await made.take("07-a")
        stale = Lease(run_id="07-a", fence=0)
        made.owned.lose("07-a", "TAKEN", fence=stale.fence)
        assert driver.told == []
        made.runs.take_away("07-a")
        await made.leases.renew_all()

    assert driver.told == ["revoke: TAKEN"]


async def test_a_run_claimed_anew_replaces_its_old_driver() -> None:
    async with process() as made:
        old = await made.take("07-a")
        made.owned.adopt(ClaimedRun(lease=Lease(run_id="07-a", fence=2)))
        await until(lambda: old.told == ["revoke: CLAIMED_ANEW"])
        assert [lease.fence for lease in made.owned.leases()] == [2]


async def test_runs_are_handed_back_as_they_come_to_rest() -> None:
    async with process() as made:
        quick, slow = await made.take("07-a"), await made.take("07-b")
        draining = made.owned.drain(grace_s=60.0)
        quick.rest()
        assert [lease.run_id for lease in await anext(draining)] == ["07-a"]
        slow.end()
        assert [lease async for leases in draining for lease in leases] == []

    assert quick.told == ["drain"]


async def test_a_run_that_arrives_at_rest_goes_straight_back() -> None:
    async with process() as made:
        made.owned.rest()
        made.owned.adopt(ClaimedRun(lease=Lease(run_id="07-late", fence=1)))
        left = [lease async for leases in made.owned.drain(0.0) for lease in leases]

    assert [lease.run_id for lease in left] == ["07-late"]
    assert made.drivers == []


async def test_a_pause_reaches_the_driver_of_its_run_and_no_other() -> None:
    async with process() as made:
        first, second = await made.take("07-a"), await made.take("07-b")
        made.owned.pause("07-a", "lunch")
        made.owned.pause("07-gone", "lunch")

    assert first.told == ["pause: lunch"]
    assert second.told == []


async def test_what_a_run_was_told_goes_to_its_owner_and_to_nobody_else() -> None:
    async with process() as made:
        driver = await made.take("07-a")
        for run_id in ("07-a", "07-gone"):
            made.owned.tell(RunSignals(run_id=run_id, first=3))

        assert driver.told == ["tell: 3"]
