"""Starting a suite, and waiting for whatever is starting."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from bench.http_client import NotServed
from bench.load import CALL_S
from bench.processes import Process, free_address, running

Metadata = tuple[tuple[str, str], ...]

_START_S = 60.0
_POLL_S = 0.1
_NOT_YET = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


async def until_done(call: Callable[[], Awaitable[object]], processes: Iterable[Process]) -> None:
    """Repeat `call` until it succeeds; what keeps it from that is raised at last, or a death."""
    give_up = time.monotonic() + _START_S
    while True:
        for process in processes:
            process.check_alive()
        try:
            await call()
        except (OSError, EOFError, NotServed):
            if time.monotonic() > give_up:
                raise
        except grpc.aio.AioRpcError as error:
            if error.code() not in _NOT_YET or time.monotonic() > give_up:
                raise
        else:
            return
        await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def open_plain_suite(
    data: Path,
    *options: str | Path,
    variables: Mapping[str, str | Path] | None = None,
    address: str = "",
) -> AsyncIterator[tuple[grpc.aio.Channel, Metadata, int]]:
    """Run a suite while the block runs; yield a channel to it, its key, and its process id.

    It listens on `address`, or on any that is free.
    """
    address = address or free_address()
    command = (
        *(sys.executable, "-m", "pentad_allinone", "--address", address),
        *("--data-dir", data, *options),
    )
    with running(command, data.with_suffix(".log"), variables) as suite:
        async with grpc.aio.insecure_channel(address) as channel:

            async def connected() -> None:
                (data / "api-key").read_bytes()
                await asyncio.wait_for(channel.channel_ready(), CALL_S)

            await until_done(connected, (suite,))
            key = (data / "api-key").read_text("utf-8").strip()
            yield channel, (("authorization", f"Bearer {key}"),), suite.pid
