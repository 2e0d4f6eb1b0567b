"""What a hop makes of what gRPC says."""

import asyncio
from typing import Any

import grpc
import pytest

from pentad_chassis.breaker import Breaker
from pentad_chassis.clock import FakeClock
from pentad_chassis.hop import Hop
from pentad_chassis.telemetry import silent_telemetry


async def test_a_cancel_that_meets_a_failure_is_a_cancel() -> None:
    """gRPC tells of the failure alone; who was cancelled would try again for ever."""
    called = asyncio.Event()

    async def inner(*_: object, **__: object) -> Any:
        called.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            nothing = grpc.aio.Metadata()
            code = grpc.StatusCode.UNAVAILABLE
            raise grpc.aio.AioRpcError(code, nothing, nothing) from None

    telemetry = silent_telemetry("caller")
    hop = Hop("peer", Breaker("peer", FakeClock()), telemetry)
    call = asyncio.create_task(hop.unary(inner, b"", 20.0, method="/p.S/M", retryable=True))
    await called.wait()

    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
