"""`python -m bench.floor_node ADDRESS TASK TARGET`: one process of the floor, until SIGTERM.

`forward` passes a call on to TARGET, `record` calls TARGET twice, `write` sets a key in the store
at TARGET; each then answers with what it was sent.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import uvloop
from redis.asyncio import BlockingConnectionPool, Redis

_SERVICE, _NAME = "bench.Floor", "Call"
METHOD = f"/{_SERVICE}/{_NAME}"

_CONNECTIONS = 64
_KEYS = 10_000
_WAIT_S = 20.0

Node = Callable[[bytes], Awaitable[bytes]]


async def _main(address: str, task: str, target: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    open_node = {"forward": _forwarding, "record": _recording, "write": _writing}[task]
    async with open_node(target) as node:

        async def handle(request: bytes, _: Any) -> bytes:
            return await node(request)

        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            _NAME: grpc.unary_unary_rpc_method_handler(handle)
        }
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        server.add_insecure_port(address)
        await server.start()
        await stop.wait()
        await server.stop(grace=None)


@asynccontextmanager
async def _forwarding(target: str) -> AsyncIterator[Node]:
    async with grpc.aio.insecure_channel(target) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)

        async def forward(request: bytes) -> bytes:
            # Nodes start all at once; whoever is first waits for the others.
            return await call(request, timeout=_WAIT_S, wait_for_ready=True)

        yield forward


@asynccontextmanager
async def _recording(target: str) -> AsyncIterator[Node]:
    async with _forwarding(target) as forward:

        async def record(request: bytes) -> bytes:
            await forward(request)
            return await forward(request)

        yield record


@asynccontextmanager
async def _writing(target: str) -> AsyncIterator[Node]:
    pool = BlockingConnectionPool.from_url(target, max_connections=_CONNECTIONS, timeout=_WAIT_S)
    async with Redis.from_pool(pool) as store:

        async def write(request: bytes) -> bytes:
            key = int.from_bytes(request[-8:], "big") % _KEYS
            await store.set(f"floor:{key}", request)
            return request

        yield write


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
