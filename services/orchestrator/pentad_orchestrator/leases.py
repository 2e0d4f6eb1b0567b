"""Leases: renewed in batches, given up in time, handed back at the end."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from pentad.state.v1.run_service_pb2 import Claim, Lease, ReleaseRunsRequest, RenewLeasesRequest
from pentad_chassis.clock import Clock
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import failpoint
from pentad_chassis.health import HEALTHY, Condition, degraded
from pentad_orchestrator.owned import OwnedRuns

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

_LEASES_MAX = 1000
_RELEASE_TIMEOUT_S = 2.0
_UNREACHED = "STORE_UNAVAILABLE"


class Leases:
    """Keeps what this process holds, and lets go of it before anybody else may take it."""

    def __init__(
        self,
        runs: "RunServiceAsyncStub",
        claim: Claim,
        owned: OwnedRuns,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._runs = runs
        self._claim = claim
        self._lease_s = claim.lease.ToTimedelta().total_seconds()
        self._owned = owned
        self._clock = clock
        self._log = log
        self._failure = ""
        """Why leases were not renewed last time; empty when they were."""

    async def renew(self) -> None:
        """Wait a third of the lease, less after a failure; then renew all leases."""
        await asyncio.sleep(self._lease_s / (10 if self._failure else 3))
        await self.renew_all()

    def condition(self) -> Condition:
        """Return how it stands with what this process holds."""
        if not self._failure:
            return HEALTHY
        return degraded(f"not renewed ({self._failure}); runs stop here and go to other owners")

    async def guard(self) -> None:
        """Wait a little; then stop work on every run whose lease could not be renewed."""
        await asyncio.sleep(self._lease_s / 20)
        self._owned.lose_overdue()

    async def renew_all(self) -> bool:
        """Extend every lease, and act on what the store says; False if it was silent on some."""
        failure = ""
        try:
            for leases in _chunks(self._owned.leases()):
                if await self._renew(leases):
                    failure = _UNREACHED
        except ServiceError as error:
            failure = error.reason
        if failure:
            self._log.warning("leases not renewed", reason=failure)
        self._failure = failure
        return not failure

    async def release(self, leases: Sequence[Lease]) -> None:
        """Hand runs back, so that another owner takes them at once; else their leases run out."""
        try:
            for some in _chunks(leases):
                await failpoint("orchestrator.release.before")
                await self._runs.ReleaseRuns(
                    ReleaseRunsRequest(leases=some), timeout=_RELEASE_TIMEOUT_S
                )
                await failpoint("orchestrator.release.after")
        except ServiceError as error:
            self._log.warning("leases not released", count=len(leases), reason=error.reason)

    async def _renew(self, leases: Sequence[Lease]) -> bool:
        """Renew some; return whether part of the store could not be reached for its own."""
        await failpoint("orchestrator.renew.before")
        sent_at_s = self._clock.monotonic()
        response = await self._runs.RenewLeases(
            RenewLeasesRequest(claim=self._claim, leases=leases), timeout=self._lease_s / 3
        )
        await failpoint("orchestrator.renew.after")
        lost, unreached = set(response.lost_run_ids), set(response.unreached_run_ids)
        for lease in leases:
            if lease.run_id in lost:
                self._owned.lose(lease.run_id, "TAKEN", fence=lease.fence)
            elif lease.run_id not in unreached:
                self._owned.renewed(lease, sent_at_s)
        for signal in response.cancels:
            self._owned.cancel(signal.run_id, signal.reason)
        for pause in response.pauses:
            self._owned.pause(pause.run_id, pause.reason)
        for signals in response.signals:
            self._owned.tell(signals)
        return bool(unreached)


def _chunks(leases: Sequence[Lease]) -> Iterator[Sequence[Lease]]:
    for start in range(0, len(leases), _LEASES_MAX):
        yield leases[start : start + _LEASES_MAX]
