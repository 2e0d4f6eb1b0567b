"""The rest of the state service in memory: the ledger of effects, conversations, and trifles."""

from dataclasses import dataclass, field

from simulation.stored import Rules, refusal
from simulation.watch import Watch

from pentad.state.v1 import agent_service_pb2 as agents_pb
from pentad.state.v1 import effect_service_pb2 as pb
from pentad.state.v1 import registry_service_pb2 as registry_pb
from pentad.state.v1.agent_pb2 import Agent
from pentad.state.v1.agent_service_pb2_grpc import AgentServiceServicer
from pentad.state.v1.effect_service_pb2_grpc import EffectServiceServicer
from pentad.state.v1.registry_service_pb2_grpc import RegistryServiceServicer
from pentad.state.v1.tool_pb2 import EFFECT_ONCE
from pentad_chassis.clock import SystemClock
from pentad_chassis.errors import Aborted, FailedPrecondition, NotFound

_RUN = pb.BeginEffectResponse.VERDICT_RUN
_REPLAY = pb.BeginEffectResponse.VERDICT_REPLAY
_IN_PROGRESS = pb.BeginEffectResponse.VERDICT_IN_PROGRESS
_UNKNOWN = pb.BeginEffectResponse.VERDICT_OUTCOME_UNKNOWN


@dataclass(slots=True)
class Entry:
    """What the ledger knows of a call."""

    fingerprint: bytes
    once: bool
    runner: str = ""
    fence: int = 0
    attempt: int = 0
    """Of those that were allowed to run, the last."""
    until_ms: int = 0
    unknown: bool = False
    outcome: pb.EffectOutcome | None = None


@dataclass(slots=True)
class Ledger(EffectServiceServicer):
    """The effect service; each method is one atomic step."""

    rules: Rules
    watch: Watch
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    async def BeginEffect(
        self, request: pb.BeginEffectRequest, context: object
    ) -> pb.BeginEffectResponse:
        key = (request.key.run_id, request.key.call_id)
        entry = self.entries.get(key)
        if entry is None or not self.rules.begin:
            fresh = Entry(request.fingerprint, once=request.effect == EFFECT_ONCE)
            entry = self.entries.setdefault(key, fresh)
            return self._take(entry, request, unknown=False)
        if entry.fingerprint != request.fingerprint:
            raise refusal(FailedPrecondition, "ARGUMENTS_CHANGED")
        if entry.outcome is not None:
            return pb.BeginEffectResponse(verdict=_REPLAY, outcome=entry.outcome)
        others = entry.runner != request.runner
        left_ms = entry.until_ms - _now_ms()
        if others and left_ms > 0:
            response = pb.BeginEffectResponse(verdict=_IN_PROGRESS)
            response.retry_after.FromMilliseconds(left_ms)
            return response
        return self._take(entry, request, unknown=entry.unknown or (others and entry.once))

    async def ExtendEffect(
        self, request: pb.ExtendEffectRequest, context: object
    ) -> pb.ExtendEffectResponse:
        entry = self._held(request.key, request.fence)
        entry.until_ms = _now_ms() + request.hold.ToMilliseconds()
        return pb.ExtendEffectResponse()

    async def CompleteEffect(
        self, request: pb.CompleteEffectRequest, context: object
    ) -> pb.CompleteEffectResponse:
        return pb.CompleteEffectResponse(
            outcome=self._complete(request.key, request.fence, request.outcome)
        )

    async def ResolveEffect(
        self, request: pb.ResolveEffectRequest, context: object
    ) -> pb.ResolveEffectResponse:
        if request.HasField("outcome"):
            kept = self._complete(request.key, request.fence, request.outcome)
            if kept != request.outcome:
                raise refusal(Aborted, "STALE_FENCE")
            return pb.ResolveEffectResponse()
        entry = self._held(request.key, request.fence)
        if entry.outcome is not None:
            raise refusal(Aborted, "STALE_FENCE")
        entry.attempt += entry.unknown
        entry.unknown = False
        entry.until_ms = _now_ms() + request.hold.ToMilliseconds()
        return pb.ResolveEffectResponse(attempt=self._told(entry))

    def done(self, run_id: str, call_id: str) -> bool:
        """Whether a call has its outcome."""
        entry = self.entries.get((run_id, call_id))
        return entry is not None and entry.outcome is not None

    def _take(
        self, entry: Entry, request: pb.BeginEffectRequest, *, unknown: bool
    ) -> pb.BeginEffectResponse:
        entry.fence += 1
        entry.attempt += not unknown and entry.runner != request.runner
        entry.runner, entry.unknown = request.runner, unknown
        entry.until_ms = _now_ms() + request.hold.ToMilliseconds()
        verdict = _UNKNOWN if unknown else _RUN
        name = "unknown" if unknown else "run"
        self.watch.note(f"{request.key.run_id} {request.key.call_id}: {name} {entry.fence}")
        return pb.BeginEffectResponse(verdict=verdict, fence=entry.fence, attempt=self._told(entry))

    def _told(self, entry: Entry) -> int:
        return entry.attempt if self.rules.attempts else 1

    def _complete(
        self, key: pb.EffectKey, fence: int, outcome: pb.EffectOutcome
    ) -> pb.EffectOutcome:
        entry = self._known(key)
        if entry.outcome is None:
            entry = self._held(key, fence)
            entry.outcome = outcome
            self.watch.note(f"{key.run_id} {key.call_id}: done {fence}")
        assert entry.outcome is not None, "it was set"
        return entry.outcome

    def _held(self, key: pb.EffectKey, fence: int) -> Entry:
        entry = self._known(key)
        if entry.fence != fence:
            raise refusal(Aborted, "STALE_FENCE")
        return entry

    def _known(self, key: pb.EffectKey) -> Entry:
        entry = self.entries.get((key.run_id, key.call_id))
        if entry is None:
            raise refusal(NotFound, "EFFECT_NOT_FOUND")
        return entry


class Agents(AgentServiceServicer):
    """Every agent there is."""

    def __init__(self, *agents: Agent) -> None:
        self._agents = {agent.name: agent for agent in agents}

    async def GetAgent(
        self, request: agents_pb.GetAgentRequest, context: object
    ) -> agents_pb.GetAgentResponse:
        return agents_pb.GetAgentResponse(agent=self._agents[request.name])


class Registry(RegistryServiceServicer):
    """Knows nobody, so that turns go to the configured address."""

    async def ListInstances(
        self, request: registry_pb.ListInstancesRequest, context: object
    ) -> registry_pb.ListInstancesResponse:
        return registry_pb.ListInstancesResponse()


def _now_ms() -> int:
    return int(SystemClock().now() * 1000)
