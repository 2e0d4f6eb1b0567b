"""The journal of one run, as its owner writes it: in order, once, and only under its lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pentad.state.v1.event_pb2 import Event
from pentad.state.v1.job_pb2 import Job
from pentad.state.v1.run_pb2 import RunStatus
from pentad.state.v1.run_service_pb2 import (
    AppendEventsRequest,
    ApprovalChange,
    Lease,
    ListEventsRequest,
)
from pentad_chassis.clock import Clock
from pentad_chassis.errors import ServiceError
from pentad_chassis.failpoints import failpoint
from pentad_orchestrator.patience import Patience
from pentad_orchestrator.run import seconds

if TYPE_CHECKING:
    from pentad.state.v1.run_service_pb2_grpc import RunServiceAsyncStub

_LOST = frozenset({"STALE_FENCE", "SEQ_CONFLICT", "RUN_NOT_FOUND"})
"""With these another owner has written, or the run is gone: nothing of ours may follow."""


_UNHEARD = "SIGNAL_UNHEARD"


@dataclass(frozen=True, slots=True)
class Beside:
    """What is recorded in the same step as events."""

    heard: int = 0
    """All that the run was told up to this one is among the events, or those before."""

    approvals: Sequence[ApprovalChange] = ()
    jobs: Sequence[Job] = ()


class SignalUnheard(Exception):
    """Nothing was recorded: what the run was told meanwhile changes what follows."""


class LeaseLost(Exception):
    """The run is not ours any more."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Journal:
    """Appends to one run under one lease.

    A third of the lease is time enough for one attempt: whoever may be silent, another replica is
    asked before the lease is over.
    """

    def __init__(
        self,
        runs: "RunServiceAsyncStub",
        lease: Lease,
        last_seq: int,
        patience: Patience,
        clock: Clock,
        lease_s: float,
    ) -> None:
        self._runs = runs
        self._last_seq = last_seq
        self._patience = patience
        self._clock = clock
        self._timeout_s = lease_s / 3
        self._appends = 0
        self._lost_because = ""
        self._ahead_s = clock.now() - clock.monotonic()
        self.lease = lease

    async def read(self, beginning: Sequence[Event]) -> Sequence[Event]:
        """Return the whole journal; a claim holds no more than the beginning of a long one."""
        events = list(beginning)
        while len(events) < self._last_seq:
            events += await self._patience.until_answered(
                partial(self._list_behind, len(events)), what="ListEvents"
            )
        if len(events) > self._last_seq:
            # It grew meanwhile, and not by us: whoever took the run over may even have ended it.
            raise self._gone("SEQ_CONFLICT")
        return events

    async def _list_behind(self, seq: int) -> Sequence[Event]:
        request = ListEventsRequest(run_id=self.lease.run_id, after_seq=seq)
        response = await self._runs.ListEvents(request, timeout=self._timeout_s)
        if not response.events:
            raise self._gone("RUN_NOT_FOUND")
        return response.events

    async def append(
        self, events: Sequence[Event], status: RunStatus, beside: Beside | None = None
    ) -> Sequence[Event]:
        """Return the events as recorded; LeaseLost when the run is another owner's.

        An append whose answer is lost is repeated under the same id, so that it counts once.
        """
        self._appends += 1
        request = AppendEventsRequest(
            lease=self.lease,
            expected_seq=self._last_seq,
            # Unique in the run: every claim raises the fence.
            append_id=f"{self.lease.fence}.{self._appends}",
            events=events,
            status=status,
        )
        if beside is not None:
            request.heard_signals = beside.heard
            request.approvals.extend(beside.approvals)
            request.jobs.extend(beside.jobs)

        async def call() -> Sequence[Event]:
            if self._lost_because:
                raise LeaseLost(self._lost_because)
            await failpoint("orchestrator.append.before")
            response = await self._runs.AppendEvents(request, timeout=self._timeout_s)
            await failpoint("orchestrator.append.after")
            return response.events

        try:
            recorded = await self._patience.until_answered(call, what="AppendEvents")
        except ServiceError as error:
            if error.reason in _LOST:
                raise self._gone(error.reason) from error
            if error.reason == _UNHEARD:
                raise SignalUnheard from error
            raise
        self._last_seq += len(recorded)
        self._ahead_s = seconds(recorded[-1].time) - self._clock.monotonic()
        return recorded

    def revoke(self, reason: str) -> None:
        """Refuse every append from here on."""
        self._lost_because = self._lost_because or reason

    def _gone(self, reason: str) -> LeaseLost:
        self.revoke(reason)
        return LeaseLost(reason)

    @property
    def lost(self) -> bool:
        """Whether the run is not ours any more."""
        return bool(self._lost_because)

    def now(self) -> float:
        """The store's time, as the last append told it and this machine's clock goes on from it."""
        return self._ahead_s + self._clock.monotonic()
