"""The ledger of effects: what was begun, by whom, and how it ended."""

from google.protobuf.duration_pb2 import Duration

from pentad.state.v1.effect_service_pb2 import BeginEffectResponse, EffectKey, EffectOutcome
from pentad.state.v1.tool_pb2 import Effect
from pentad_state.bounds import KIB, PAYLOAD_BYTES, check_name, check_size, invalid, to_ms
from pentad_state.errors import ArgumentsChanged, EffectNotFound, StaleFence
from pentad_state.partitions import key, partition_of_run
from pentad_state.store import Store, script

_RUN = BeginEffectResponse.VERDICT_RUN
_REPLAY = BeginEffectResponse.VERDICT_REPLAY
_IN_PROGRESS = BeginEffectResponse.VERDICT_IN_PROGRESS
_UNKNOWN = BeginEffectResponse.VERDICT_OUTCOME_UNKNOWN

_HOLD_S_MAX = 24 * 3600
_LIVE_MS = 40 * 24 * 3600 * 1000
"""Longer than any run; the run's end makes it as short as the run's own retention."""

_OUTCOME_BYTES = PAYLOAD_BYTES + KIB
"""A payload at its limit, and what describes it."""


class Effects:
    """Every method is one atomic step of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def begin(
        self,
        call: EffectKey,
        fingerprint: bytes,
        effect: Effect.ValueType,
        runner: str,
        hold: Duration,
    ) -> BeginEffectResponse:
        """Record that a call is about to run, or return why it must not."""
        check_name("key.run_id", call.run_id)
        check_name("key.call_id", call.call_id)
        check_name("runner", runner)
        if effect == Effect.EFFECT_UNSPECIFIED:
            raise invalid("effect", "must be set")
        verdict, *rest = await self._store.run(
            script("effect_begin"),
            [_key(call)],
            call.call_id, fingerprint, effect, runner, to_ms("hold", hold, _HOLD_S_MAX),
            Effect.EFFECT_ONCE, _LIVE_MS,
        )  # fmt: skip
        match verdict:
            case b"RUN":
                return BeginEffectResponse(verdict=_RUN, fence=rest[0], attempt=rest[1])
            case b"OUTCOME_UNKNOWN":
                return BeginEffectResponse(verdict=_UNKNOWN, fence=rest[0], attempt=rest[1])
            case b"REPLAY":
                outcome = EffectOutcome.FromString(rest[0])
                return BeginEffectResponse(verdict=_REPLAY, outcome=outcome)
            case b"IN_PROGRESS":
                response = BeginEffectResponse(verdict=_IN_PROGRESS)
                response.retry_after.FromMilliseconds(rest[0])
                return response
            case _:
                raise ArgumentsChanged(call.run_id, call.call_id)

    async def extend(self, call: EffectKey, fence: int, hold: Duration) -> None:
        """Record that the runner is at it still."""
        hold_ms = to_ms("hold", hold, _HOLD_S_MAX)
        verdict = await self._store.run(
            script("effect_extend"), [_key(call)], call.call_id, fence, hold_ms
        )
        _check(verdict, call, fence)

    async def complete(self, call: EffectKey, fence: int, outcome: EffectOutcome) -> EffectOutcome:
        """Record how a call ended, and return the first outcome recorded."""
        if outcome.WhichOneof("kind") is None:
            raise invalid("outcome", "must be set")
        kept = outcome.SerializeToString()
        check_size("outcome", len(kept), _OUTCOME_BYTES)
        verdict, *recorded = await self._store.run(
            script("effect_complete"), [_key(call)], call.call_id, fence, kept
        )
        _check(verdict, call, fence)
        return EffectOutcome.FromString(recorded[0])

    async def resolve(
        self, call: EffectKey, fence: int, outcome: EffectOutcome | None, hold: Duration
    ) -> int:
        """Settle a call whose outcome was unknown.

        Without an outcome the caller may run it: returns which attempt that is, else 0.
        """
        if outcome is not None:
            if await self.complete(call, fence, outcome) != outcome:
                raise StaleFence(call.call_id, fence)  # it was settled before, in another way
            return 0
        verdict, *allowed = await self._store.run(
            script("effect_allow"),
            [_key(call)],
            call.call_id, fence, to_ms("hold", hold, _HOLD_S_MAX),
        )  # fmt: skip
        _check(verdict, call, fence)
        return int(allowed[0])


def _key(call: EffectKey) -> str:
    return key(partition_of_run(call.run_id), "effects", call.run_id)


def _check(verdict: bytes, call: EffectKey, fence: int) -> None:
    if verdict == b"GONE":
        raise EffectNotFound(call.run_id, call.call_id)
    if verdict == b"STALE":
        raise StaleFence(call.call_id, fence)
