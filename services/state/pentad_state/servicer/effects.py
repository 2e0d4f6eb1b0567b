"""The ledger of tool calls, on the wire."""

from pentad.state.v1 import effect_service_pb2 as pb
from pentad.state.v1 import effect_service_pb2_grpc as pb_grpc
from pentad_chassis.server import Context
from pentad_state.core import StateCore


class EffectServicer(pb_grpc.EffectServiceServicer):
    """The ledger of tool calls."""

    def __init__(self, core: StateCore) -> None:
        self._effects = core.effects

    async def BeginEffect(
        self, request: pb.BeginEffectRequest, context: Context
    ) -> pb.BeginEffectResponse:
        return await self._effects.begin(
            request.key, request.fingerprint, request.effect, request.runner, request.hold
        )

    async def ExtendEffect(
        self, request: pb.ExtendEffectRequest, context: Context
    ) -> pb.ExtendEffectResponse:
        await self._effects.extend(request.key, request.fence, request.hold)
        return pb.ExtendEffectResponse()

    async def CompleteEffect(
        self, request: pb.CompleteEffectRequest, context: Context
    ) -> pb.CompleteEffectResponse:
        outcome = await self._effects.complete(request.key, request.fence, request.outcome)
        return pb.CompleteEffectResponse(outcome=outcome)

    async def ResolveEffect(
        self, request: pb.ResolveEffectRequest, context: Context
    ) -> pb.ResolveEffectResponse:
        outcome = request.outcome if request.HasField("outcome") else None
        attempt = await self._effects.resolve(request.key, request.fence, outcome, request.hold)
        return pb.ResolveEffectResponse(attempt=attempt)
