"""The runs this process works on: each driven by one task, each under one lease."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from pentad.state.v1.run_service_pb2 import ClaimedRun, Lease, RunSignals
from pentad_chassis.clock import Clock
from pentad_chassis.health import Condition, fullness
from pentad_orchestrator.config import Config
from pentad_orchestrator.driver import Driver
from pentad_orchestrator.metrics import RunMetrics

_MARGIN = 0.2
"""Part of the lease given up, so that work stops before the store may hand the run on."""


@dataclass(slots=True, eq=False)
class OwnedRun:
    """A run in work."""

    lease: Lease
    driver: Driver
    held_until_s: float
    """By this process's monotonic clock: later than this, the lease may be another owner's."""

    task: asyncio.Task[None] | None = None


class OwnedRuns:
    """Starts, signals and stops drivers."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        drive: Callable[[ClaimedRun], Driver],
        config: Config,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: RunMetrics,
    ) -> None:
        self._tasks = tasks
        self._drive = drive
        self._config = config
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._runs: dict[str, OwnedRun] = {}
        metrics.leases.set_function(lambda: len(self._runs))
        self._resting = False
        self._left: list[Lease] = []
        """Of runs at rest; not handed back yet."""
        self.room_made = asyncio.Event()
        """Set when a run leaves."""

    @property
    def room(self) -> int:
        """How many more runs this process takes."""
        return 0 if self._resting else max(0, self._config.max_runs - len(self._runs))

    def condition(self) -> Condition:
        """Return how full this process is."""
        return fullness(len(self._runs), self._config.max_runs, "runs")

    def leases(self) -> list[Lease]:
        """Return the leases of all runs in work."""
        return [owned.lease for owned in self._runs.values()]

    def adopt(self, claimed: ClaimedRun) -> None:
        """Work on a run from now on."""
        run_id = claimed.lease.run_id
        if self._resting:
            self._left.append(claimed.lease)
            return
        self.lose(run_id, "CLAIMED_ANEW")
        owned = OwnedRun(
            claimed.lease, self._drive(claimed), self._held_until(self._clock.monotonic())
        )
        self._runs[run_id] = owned
        # A context of its own: a run outlives the call that created it, and that call's deadline.
        owned.task = self._tasks.create_task(self._work(owned), context=Context())

    def cancel(self, run_id: str, reason: str) -> None:
        """End a run at a caller's wish."""
        if owned := self._runs.get(run_id):
            owned.driver.cancel(reason)

    def pause(self, run_id: str, reason: str) -> None:
        """Let a run rest at a caller's wish."""
        if owned := self._runs.get(run_id):
            owned.driver.pause(reason)

    def tell(self, signals: RunSignals) -> None:
        """Pass on what a run was told."""
        if owned := self._runs.get(signals.run_id):
            owned.driver.tell(signals)

    def renewed(self, lease: Lease, sent_at_s: float) -> None:
        """Note that a lease was extended by a request sent at that time."""
        owned = self._runs.get(lease.run_id)
        if owned and owned.lease.fence == lease.fence:
            owned.held_until_s = self._held_until(sent_at_s)

    def lose(self, run_id: str, reason: str, *, fence: int | None = None) -> None:
        """Stop work on a run at once: it is, or may be, another owner's."""
        owned = self._runs.get(run_id)
        if owned is None or fence not in {None, owned.lease.fence}:
            return
        del self._runs[run_id]
        self._log.warning("lease lost", run_id=run_id, reason=reason)
        self._metrics.lease_lost(reason)
        owned.driver.revoke(reason)
        if owned.task:
            owned.task.cancel()

    def lose_overdue(self) -> None:
        """Stop work on runs whose leases were not renewed in time."""
        now_s = self._clock.monotonic()
        overdue = [run_id for run_id, owned in self._runs.items() if owned.held_until_s < now_s]
        for run_id in overdue:
            self.lose(run_id, "NOT_RENEWED")

    def rest(self) -> None:
        """Begin nothing more; what is in hand goes on."""
        self._resting = True
        for owned in self._runs.values():
            owned.driver.drain()

    async def drain(self, grace_s: float) -> AsyncIterator[list[Lease]]:
        """Come to rest, cut off what lasts longer than `grace_s`; yield leases to hand back."""
        self.rest()
        ends_at_s = self._clock.monotonic() + grace_s
        pending = {owned.task for owned in self._runs.values() if owned.task}
        while pending:
            left_s = max(0.0, ends_at_s - self._clock.monotonic())
            done, pending = await asyncio.wait(
                pending, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                for task in pending:
                    task.cancel()
                await asyncio.wait(pending)
                pending = set()
            yield self._take_left()
        yield self._take_left()

    def _take_left(self) -> list[Lease]:
        left, self._left = self._left, []
        return left

    async def _work(self, owned: OwnedRun) -> None:
        try:
            await owned.driver.drive()
        finally:
            if self._runs.get(owned.lease.run_id) is owned:
                del self._runs[owned.lease.run_id]
                if owned.driver.lost:
                    self._metrics.lease_lost("APPEND_REFUSED")
            if self._resting and not owned.driver.ended and not owned.driver.lost:
                self._left.append(owned.lease)
            self.room_made.set()

    def _held_until(self, since_s: float) -> float:
        return since_s + self._config.lease_s * (1 - _MARGIN)
