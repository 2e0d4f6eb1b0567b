"""Waiting for a system that is starting."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

import grpc

from bench.processes import Process

_START_S = 60.0
_POLL_S = 0.1
_NOT_YET = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def until_served(call: Callable[[], Awaitable[None]], processes: Iterable[Process]) -> None:
    """Repeat `call` until it succeeds; what keeps it from that is raised at last, or a death."""
    give_up = time.monotonic() + _START_S
    while True:
        for process in processes:
            process.check_alive()
        try:
            return await call()
        except FileNotFoundError:
            if time.monotonic() > give_up:
                raise
        except grpc.aio.AioRpcError as error:
            if error.code() not in _NOT_YET or time.monotonic() > give_up:
                raise
        await asyncio.sleep(_POLL_S)
