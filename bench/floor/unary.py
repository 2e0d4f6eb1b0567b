"""A hop by plain gRPC: a call for a call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from bench.floor.hop import SERVICE, WAIT_S, Hop

_ASK, _LISTEN = "Ask", "Listen"


@asynccontextmanager
async def open_unary(target: str) -> AsyncIterator[Hop]:
    """Yield the hop to a node."""
    async with grpc.aio.insecure_channel(target) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        ask = channel.unary_unary(f"/{SERVICE}/{_ASK}")
        listen: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
        listen = channel.unary_stream(f"/{SERVICE}/{_LISTEN}")
        yield Hop(
            lambda request: ask(request, timeout=WAIT_S, wait_for_ready=True),
            lambda request: listen(request, timeout=WAIT_S, wait_for_ready=True).__aiter__(),
        )


def unary_handlers(node: Hop) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
    """Return what a server needs to serve a node."""

    async def ask(request: bytes, _: Any) -> bytes:
        return await node.ask(request)

    async def listen(request: bytes, _: Any) -> AsyncIterator[bytes]:
        async for item in node.listen(request):
            yield item

    return {
        _ASK: grpc.unary_unary_rpc_method_handler(ask),
        _LISTEN: grpc.unary_stream_rpc_method_handler(listen),
    }
