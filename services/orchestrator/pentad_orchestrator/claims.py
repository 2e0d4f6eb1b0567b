"""Work and signals from the store's schedule: asked for in one long poll, forever."""

import asyncio
from typing import TYPE_CHECKING

from pentad.state.v1.run_service_pb2 import Claim, ClaimRunsRequest, ClaimRunsResponse
from pentad_chassis.failpoints import failpoint
from pentad_orchestrator.owned import OwnedRuns
from pentad_orchestrator.patience import Patience

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

_CLAIMS_MAX = 64
"""Runs taken at once: bounds the answer, and how far beyond `max_runs` a poll under way can
take a process that creates runs meanwhile."""

_REPORT_S = 5.0


class Claims:
    """Takes runs while there is room, and hears of cancels and pauses even when there is none."""

    def __init__(
        self,
        runs: "RunServiceAsyncStub",
        claim: Claim,
        owned: OwnedRuns,
        patience: Patience,
        wait_s: float,
    ) -> None:
        self._runs = runs
        self._claim = claim
        self._owned = owned
        self._patience = patience
        self._wait_s = wait_s

    async def claim(self) -> None:
        """Act on what the store has to say, once it has something; wait through outages."""
        await self._patience.until_answered(self.claim_once, what="ClaimRuns", repeat_after=_always)

    async def claim_once(self) -> None:
        """Ask once, for as long as it takes the store to have something to say."""
        room = min(self._owned.room, _CLAIMS_MAX)
        response = await (self._poll(room) if room else self._poll_until_room())
        await failpoint("orchestrator.adopt.before")
        for claimed in response.runs:
            self._owned.adopt(claimed)
        for signal in response.cancels:
            self._owned.cancel(signal.run_id, signal.reason)
        for pause in response.pauses:
            self._owned.pause(pause.run_id, pause.reason)
        for signals in response.signals:
            self._owned.tell(signals)
        await failpoint("orchestrator.adopt.after")

    async def _poll(self, limit: int) -> ClaimRunsResponse:
        request = ClaimRunsRequest(claim=self._claim, limit=limit)
        request.wait.FromNanoseconds(int(self._wait_s * 1e9))
        return await self._runs.ClaimRuns(request, timeout=self._wait_s + _REPORT_S)

    async def _poll_until_room(self) -> ClaimRunsResponse:
        """Wait for signals only. A signal missed by giving up comes with the next renewal."""
        self._owned.room_made.clear()
        if self._owned.room:
            return ClaimRunsResponse()
        poll = asyncio.create_task(self._poll(0))
        room = asyncio.create_task(self._owned.room_made.wait())
        try:
            await asyncio.wait({poll, room}, return_when=asyncio.FIRST_COMPLETED)
            return poll.result() if poll.done() else ClaimRunsResponse()
        finally:
            poll.cancel()
            room.cancel()
            await asyncio.gather(poll, room, return_exceptions=True)


def _always(_: Exception) -> bool:
    return True
