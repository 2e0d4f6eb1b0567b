"""A state service's effect ledger in memory, which a test can read and disturb."""

import asyncio
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1 import effect_service_pb2 as pb
from pentad.state.v1.effect_service_pb2_grpc import EffectServiceServicer
from pentad.state.v1.message_pb2 import Payload
from pentad.state.v1.tool_pb2 import EFFECT_ONCE
from pentad.state.v1.trace_service_pb2 import RecordSpansRequest, RecordSpansResponse, Span
from pentad.state.v1.trace_service_pb2_grpc import TraceServiceServicer
from pentad_chassis.errors import Aborted, FailedPrecondition, NotFound, Unavailable
from pentad_chassis.server import Context


class StoreUnavailable(Unavailable):
    reason = "STORE_UNAVAILABLE"


class StaleFence(Aborted):
    reason = "STALE_FENCE"


class ArgumentsChanged(FailedPrecondition):
    reason = "ARGUMENTS_CHANGED"


class EffectNotFound(NotFound):
    reason = "EFFECT_NOT_FOUND"


def recorded(text: str) -> pb.EffectOutcome:
    """The outcome of a call that returned a string."""
    return pb.EffectOutcome(result=Payload(content_type="text/plain", text=text))


@dataclass
class Entry:
    fingerprint: bytes
    fence: int = 0
    attempt: int = 0
    outcome: pb.EffectOutcome | None = None
    abandoned: bool = True
    """Whether its runner counts as dead."""


@dataclass
class MemoryLedger(EffectServiceServicer):
    """Keeps to the rules of the proto; time passes when the test says so."""

    entries: dict[str, Entry] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    retry_after_s: float = 0.05
    refusing: dict[str, int] = field(default_factory=dict)
    """How many of the next calls of a method find no store."""

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()

    def entry(self, call_id: str) -> Entry:
        return self.entries[call_id]

    async def saw(self, method: str, times: int = 1) -> None:
        """Wait until a method has been called that often."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.seen.count(method) >= times)

    async def BeginEffect(
        self, request: pb.BeginEffectRequest, context: Context
    ) -> pb.BeginEffectResponse:
        del context
        await self._see("BeginEffect")
        key = request.key.call_id
        entry = self.entries.setdefault(key, Entry(request.fingerprint))
        if entry.fingerprint != request.fingerprint:
            raise ArgumentsChanged("other arguments", call_id=key)
        if entry.outcome is not None:
            return pb.BeginEffectResponse(
                verdict=pb.BeginEffectResponse.VERDICT_REPLAY, outcome=entry.outcome
            )
        if not entry.abandoned:
            pause = Duration()
            pause.FromMilliseconds(int(self.retry_after_s * 1000))
            return pb.BeginEffectResponse(
                verdict=pb.BeginEffectResponse.VERDICT_IN_PROGRESS, retry_after=pause
            )
        died = entry.fence > 0
        entry.fence += 1
        if died and request.effect == EFFECT_ONCE:
            return pb.BeginEffectResponse(
                verdict=pb.BeginEffectResponse.VERDICT_OUTCOME_UNKNOWN,
                fence=entry.fence,
                attempt=entry.attempt,
            )
        entry.abandoned = False
        entry.attempt += 1
        return pb.BeginEffectResponse(
            verdict=pb.BeginEffectResponse.VERDICT_RUN, fence=entry.fence, attempt=entry.attempt
        )

    async def ExtendEffect(
        self, request: pb.ExtendEffectRequest, context: Context
    ) -> pb.ExtendEffectResponse:
        del context
        await self._see("ExtendEffect")
        self._held(request.key, request.fence)
        return pb.ExtendEffectResponse()

    async def CompleteEffect(
        self, request: pb.CompleteEffectRequest, context: Context
    ) -> pb.CompleteEffectResponse:
        del context
        await self._see("CompleteEffect")
        entry = self._held(request.key, request.fence)
        entry.outcome = entry.outcome or request.outcome
        await self._see("completed")
        return pb.CompleteEffectResponse(outcome=entry.outcome)

    async def ResolveEffect(
        self, request: pb.ResolveEffectRequest, context: Context
    ) -> pb.ResolveEffectResponse:
        del context
        await self._see("ResolveEffect")
        entry = self._held(request.key, request.fence)
        entry.abandoned = False
        if request.HasField("outcome"):
            entry.outcome = request.outcome
            return pb.ResolveEffectResponse()
        entry.attempt += 1
        return pb.ResolveEffectResponse(attempt=entry.attempt)

    def _held(self, key: pb.EffectKey, fence: int) -> Entry:
        entry = self.entries.get(key.call_id)
        if entry is None:
            raise EffectNotFound("no such call", call_id=key.call_id)
        if entry.fence != fence:
            raise StaleFence("another runner has it", call_id=key.call_id)
        return entry

    async def _see(self, method: str) -> None:
        async with self._changed:
            self.seen.append(method)
            self._changed.notify_all()
        if self.refusing.get(method, 0) > 0:
            self.refusing[method] -= 1
            raise StoreUnavailable("the store is away")


class MemoryTraces(TraceServiceServicer):
    """Keeps every span."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    async def RecordSpans(
        self, request: RecordSpansRequest, context: Context
    ) -> RecordSpansResponse:
        del context
        self.spans += request.spans
        return RecordSpansResponse()
