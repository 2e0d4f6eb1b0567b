"""Runs as the state service keeps them, in memory: the rules of its scripts, one step each.

`Rules` takes single rules out, so that a test can show that their absence is noticed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from simulation.jobs import Jobs
from simulation.stored import (
    PAUSED,
    QUEUED,
    RUNNING,
    WAITING,
    Rules,
    Stored,
    refusal,
)
from simulation.watch import Watch

from pentad.state.v1 import run_service_pb2 as pb
from pentad.state.v1.approval_pb2 import Approval
from pentad.state.v1.event_pb2 import Event, RunResumed
from pentad.state.v1.run_pb2 import Pause, Run
from pentad.state.v1.run_service_pb2_grpc import RunServiceServicer
from pentad_chassis.clock import SystemClock
from pentad_chassis.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
)

_EVENTS_AT_ONCE = 6
"""Few, so that takeovers read journals in pieces."""
_SWEEP_S = 0.9
_ASKED, _BEGUN, _NEW = range(3)


class Runs(RunServiceServicer):
    """The run service; whatever stands between two awaits is one atomic step."""

    def __init__(self, rules: Rules, watch: Watch, jobs: Jobs) -> None:
        self.stored: dict[str, Stored] = {}
        self._rules = rules
        self._watch = watch
        self._jobs = jobs
        self._clock = SystemClock()
        self._places = 0
        self._mail: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._work = asyncio.Event()

    async def CreateRun(
        self, request: pb.CreateRunRequest, context: object
    ) -> pb.CreateRunResponse:
        run_id = _id_of(request.created.tenant, request.request_id)
        if known := self.stored.get(run_id):
            if known.fingerprint != request.fingerprint:
                raise refusal(AlreadyExists, "REQUEST_ID_REUSED")
            return pb.CreateRunResponse(run=known.seen())
        run = Run(run_id=run_id, tenant=request.created.tenant, spec=request.created.spec)
        stored = Stored(run, request.fingerprint, self._now_ms())
        self.stored[run_id] = stored
        self._record(stored, [Event(run_created=request.created)], tag="")
        self._watch.created(run_id, stored.journal[0])
        response = pb.CreateRunResponse(created=True)
        if request.HasField("claim"):
            begun = self._record(stored, request.begun, tag="")
            if begun:
                stored.run.status.CopyFrom(request.status)
            response.claimed.CopyFrom(self._lease(stored, request.claim))
            if begun:
                self._watch.grew(run_id, begun, request.status)
        else:
            self._wait(stored, _NEW)
        response.run.CopyFrom(stored.seen())
        return response

    async def GetRun(self, request: pb.GetRunRequest, context: object) -> pb.GetRunResponse:
        run_id = request.run_id or _id_of(request.tenant, request.request_id)
        stored = self._find(run_id)
        return pb.GetRunResponse(run=stored.seen(), fingerprint=stored.fingerprint)

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: object
    ) -> pb.ListEventsResponse:
        events = self._find(request.run_id).journal[request.after_seq :][:_EVENTS_AT_ONCE]
        self._watch.shown(request.run_id, events)
        return pb.ListEventsResponse(events=events)

    async def ClaimRuns(
        self, request: pb.ClaimRunsRequest, context: object
    ) -> pb.ClaimRunsResponse:
        owner = request.claim.owner
        ends_at_s = self._clock.monotonic() + request.wait.ToTimedelta().total_seconds()
        self._mail[owner]  # from now on there is a box
        while True:
            response = pb.ClaimRunsResponse(
                runs=[self._lease(s, request.claim) for s in self._claimable()[: request.limit]]
            )
            for run_id in self._mail.pop(owner, {}):
                stored = self.stored[run_id]
                if stored.state == RUNNING and stored.owner == owner:
                    self._tell(stored, response)
            self._mail[owner]
            left_s = ends_at_s - self._clock.monotonic()
            if response.ByteSize() or left_s <= 0:
                return response
            await self._something(min(left_s, _SWEEP_S))

    async def RenewLeases(
        self, request: pb.RenewLeasesRequest, context: object
    ) -> pb.RenewLeasesResponse:
        response = pb.RenewLeasesResponse()
        for lease in request.leases:
            stored = self._find(lease.run_id)
            if stored.state == RUNNING and stored.fence == lease.fence:
                stored.lease_ends_ms = self._now_ms() + _lease_ms(request.claim)
                self._tell(stored, response)
            else:
                response.lost_run_ids.append(lease.run_id)
        return response

    async def ReleaseRuns(
        self, request: pb.ReleaseRunsRequest, context: object
    ) -> pb.ReleaseRunsResponse:
        for lease in request.leases:
            stored = self._find(lease.run_id)
            if stored.state == RUNNING and stored.fence == lease.fence:
                stored.state, stored.owner = QUEUED, ""
                asked = (stored.cancel, stored.pause) != (None, None)
                self._wait(stored, _ASKED if asked else _BEGUN)
                self._watch.note(f"{lease.run_id} released by {lease.fence}")
        return pb.ReleaseRunsResponse()

    async def AppendEvents(
        self, request: pb.AppendEventsRequest, context: object
    ) -> pb.AppendEventsResponse:
        stored, seq = self._find(request.lease.run_id), request.expected_seq
        length = len(stored.journal)
        if length > seq and stored.tags[seq] == request.append_id:
            events = stored.journal[seq : seq + len(request.events)]
            self._watch.shown(stored.run.run_id, events)
            return pb.AppendEventsResponse(events=events)
        if self._rules.fence and (stored.state != RUNNING or stored.fence != request.lease.fence):
            raise refusal(Aborted, "STALE_FENCE")
        if length != seq:
            raise refusal(Aborted, "SEQ_CONFLICT")
        if any(map(stored.is_overtaken, request.approvals)):
            raise refusal(Aborted, "SIGNAL_UNHEARD")
        recorded = self._record(stored, request.events, request.append_id)
        stored.hear(request.heard_signals)
        for change in request.approvals:
            stored.change(change, self._now_ms())
        for job in request.jobs:
            self._jobs.put(job)
        stored.run.status.CopyFrom(request.status)
        self._watch.appended(stored.fence, request, recorded)
        self._stand(stored, request, recorded)
        return pb.AppendEventsResponse(events=recorded)

    async def AppendText(
        self, request: pb.AppendTextRequest, context: object
    ) -> pb.AppendTextResponse:
        return pb.AppendTextResponse()

    async def RequestCancel(
        self, request: pb.RequestCancelRequest, context: object
    ) -> pb.RequestCancelResponse:
        stored = self._find(request.run_id)
        if not stored.ended and stored.cancel is None:
            stored.cancel = request.reason
        if stored.state in {QUEUED, PAUSED, WAITING}:
            stored.state = QUEUED
            self._wait(stored, _ASKED)
        self._post(stored)
        return pb.RequestCancelResponse(run=stored.seen())

    async def RequestPause(
        self, request: pb.RequestPauseRequest, context: object
    ) -> pb.RequestPauseResponse:
        stored = self._find(request.run_id)
        if stored.state in {QUEUED, RUNNING, WAITING}:
            stored.pause = request.reason if stored.pause is None else stored.pause
            stored.withdrawn = None
        if stored.state in {QUEUED, WAITING}:
            stored.state = QUEUED
            self._wait(stored, _ASKED)
        self._post(stored)
        return pb.RequestPauseResponse(run=stored.seen())

    async def ResumeRun(
        self, request: pb.ResumeRunRequest, context: object
    ) -> pb.ResumeRunResponse:
        stored = self._find(request.run_id)
        if request.resume_id in stored.resumes:
            return pb.ResumeRunResponse(run=stored.seen())
        if stored.state == PAUSED:
            self.resume(stored, request.resumed)
            if asked := stored.approvals.get(stored.doubted):
                asked.state = Approval.STATE_APPROVED
        elif stored.state == QUEUED and stored.pause is not None:
            if stored.cancel is None:
                self._wait(stored, _NEW)
        elif stored.state == RUNNING and stored.pause is not None:
            stored.withdrawn = request.resumed
        else:
            raise refusal(FailedPrecondition, "RUN_NOT_PAUSED")
        stored.pause = None
        stored.resumes.add(request.resume_id)
        self._watch.note(f"{request.run_id} resumed")
        return pb.ResumeRunResponse(run=stored.seen())

    async def SignalRun(
        self, request: pb.SignalRunRequest, context: object
    ) -> pb.SignalRunResponse:
        stored = self._find(request.run_id)
        if not stored.ended and request.signal_id not in stored.told_ids:
            stored.told_ids.add(request.signal_id)
            self.tell(stored, request.event)
        return pb.SignalRunResponse(ended=stored.ended)

    def tell(self, stored: Stored, event: Event) -> None:
        """Put something into a run's inbox; one that waits goes on."""
        told = Event()
        told.CopyFrom(event)
        told.time.CopyFrom(self._time())
        stored.told.append(told)
        self._watch.note(f"{stored.run.run_id} told {event.WhichOneof('kind')}")
        if stored.state == WAITING:
            stored.state = QUEUED
            self._wait(stored, _BEGUN)
        self._post(stored)

    def resume(self, stored: Stored, resumed: RunResumed) -> None:
        """Let a run go on that rests, if all its doubts are settled."""
        if _unsettled(stored.run.status.pause, resumed):
            raise refusal(FailedPrecondition, "SETTLEMENT_MISSING")
        stored.state, stored.resumed, stored.pause = QUEUED, resumed, None
        self._wait(stored, _NEW)

    def _find(self, run_id: str) -> Stored:
        if run_id not in self.stored:
            raise refusal(NotFound, "RUN_NOT_FOUND")
        return self.stored[run_id]

    def _claimable(self) -> list[Stored]:
        """Return what may be claimed now: expired leases, then what waits by its rank."""
        now_ms = self._now_ms()
        runs = self.stored.values()
        expired = [s for s in runs if s.state == RUNNING and s.lease_ends_ms <= now_ms]
        woken = [s for s in runs if s.state == WAITING and 0 < s.wake_ms <= now_ms]
        queued = [s for s in runs if s.state == QUEUED]
        return expired + sorted(woken + queued, key=lambda s: s.rank)

    def _lease(self, stored: Stored, claim: pb.Claim) -> pb.ClaimedRun:
        lost = stored.state == RUNNING
        stored.lost += lost
        stored.state, stored.owner = RUNNING, claim.owner
        stored.fence += 1
        stored.lease_ends_ms = self._now_ms() + _lease_ms(claim)
        run_id = stored.run.run_id
        events = stored.journal[:_EVENTS_AT_ONCE]
        self._watch.note(f"{run_id} claimed as {stored.fence}{' from the dead' if lost else ''}")
        self._watch.shown(run_id, events)
        return pb.ClaimedRun(
            lease=pb.Lease(run_id=run_id, fence=stored.fence),
            events=events,
            last_seq=len(stored.journal),
            owner_lost=lost,
            cancel_requested=stored.cancel is not None,
            cancel_reason=stored.cancel or "",
            pause_requested=stored.pause is not None,
            pause_reason=stored.pause or "",
            resumed=stored.resumed,
            signals=stored.signals(),
        )

    def _rest(self, stored: Stored, *, parked: bool) -> None:
        """Let a run go from its owner's hands; what was asked meanwhile is not slept through."""
        withdrawn = None if parked else stored.withdrawn
        stored.owner, stored.pause, stored.withdrawn = "", None, None
        if withdrawn is not None:
            stored.resumed = withdrawn
        if withdrawn is None and stored.cancel is None:
            stored.state = PAUSED
            return
        stored.state = QUEUED
        self._wait(stored, _BEGUN if stored.cancel is None else _ASKED)

    def _stand(
        self, stored: Stored, request: pb.AppendEventsRequest, recorded: Sequence[Event]
    ) -> None:
        """Have a run stand where its owner says it does."""
        if any(event.HasField("run_resumed") for event in recorded):
            stored.resumed = None
        if request.status.state == PAUSED:
            self._rest(stored, parked=bool(request.status.pause.unknown_effects))
        elif request.status.state == WAITING:
            self._let_wait(stored, request.status.waiting.wake_time.ToMilliseconds())
        elif request.status.state != RUNNING:
            stored.state = request.status.state
            stored.withdraw()

    def _let_wait(self, stored: Stored, wake_ms: int) -> None:
        """Let a run go until it is told something; what was said before is not slept through."""
        stored.owner, stored.withdrawn, stored.wake_ms = "", None, wake_ms
        asked = (stored.cancel, stored.pause) != (None, None)
        goes_on = asked or stored.signals() is not None
        stored.state = QUEUED if goes_on else WAITING
        self._wait(stored, _ASKED if asked else _BEGUN)

    def _record(self, stored: Stored, events: Sequence[Event], tag: str) -> list[Event]:
        recorded = []
        for event in events:
            kept = Event(run_id=stored.run.run_id, seq=len(stored.journal) + 1)
            kept.MergeFrom(event)
            kept.time.CopyFrom(self._time())
            stored.journal.append(kept)
            stored.tags.append(tag)
            recorded.append(kept)
        return recorded

    def _wait(self, stored: Stored, rank: int) -> None:
        self._places += 1
        stored.rank = (rank, self._places)
        self._work.set()
        self._work = asyncio.Event()

    async def _something(self, most_s: float) -> None:
        try:
            async with asyncio.timeout(most_s):
                await self._work.wait()
        except TimeoutError:
            pass

    def _post(self, stored: Stored) -> None:
        """Say to the owner, if it is heard, that something is asked."""
        if stored.state == RUNNING and stored.owner in self._mail:
            self._mail[stored.owner][stored.run.run_id] = None
            self._work.set()
            self._work = asyncio.Event()

    def _tell(
        self, stored: Stored, response: pb.ClaimRunsResponse | pb.RenewLeasesResponse
    ) -> None:
        run_id = stored.run.run_id
        if stored.cancel is not None:
            response.cancels.append(pb.CancelSignal(run_id=run_id, reason=stored.cancel))
        if stored.pause is not None:
            response.pauses.append(pb.PauseSignal(run_id=run_id, reason=stored.pause))
        if signals := stored.signals():
            response.signals.append(signals)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)

    def _time(self) -> Timestamp:
        time = Timestamp()
        time.FromMilliseconds(self._now_ms())
        return time


def _id_of(tenant: str, request_id: str) -> str:
    """Return a run's id: without slashes, which part it from the ids of its calls."""
    return f"run-{tenant}-{request_id.replace('/', '~')}"


def _lease_ms(claim: pb.Claim) -> int:
    return claim.lease.ToMilliseconds()


def _unsettled(pause: Pause, resumed: RunResumed) -> bool:
    """Whether something is asked, and not answered."""
    said = {(each.call_id, each.attempt) for each in resumed.settlements}
    return any((each.call_id, each.attempt) not in said for each in pause.unknown_effects)
