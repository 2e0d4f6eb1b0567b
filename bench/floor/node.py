"""`python -m bench.floor.node CARRIED ADDRESS ROLE TARGET [MODEL]`: one process, until SIGTERM.

CARRIED is `unary` or `coalesced`. A `gateway` passes everything on to TARGET. An `orchestrator`
asks TARGET once for each step, and for the first one to record its beginning too. An `executor`
records a step by a call to TARGET, and passes on what the model at MODEL says. `state` writes to
the store at TARGET. Each answers with what it was sent.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import grpc
import uvloop

from bench.floor.hop import SERVICE, Hop, from_request, to_request
from bench.floor.link import link_handlers, open_link
from bench.floor.store import Write, open_pipe, open_pool
from bench.floor.unary import open_unary, unary_handlers
from bench.http_client import HttpClient, open_http_client
from bench.work import QUESTION

_KEYS = 10_000
_CHAT = {"model": "talker", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}

OpenHop = Callable[[str], AbstractAsyncContextManager[Hop]]
OpenStore = Callable[[str], AbstractAsyncContextManager[Write]]


async def _main(carried: str, address: str, role: str, target: str, model: str = "") -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with _opened(carried, role, target, model) as node:
        handlers = (unary_handlers if carried == "unary" else link_handlers)(node)
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_insecure_port(address)
        await server.start()
        await stop.wait()
        await server.stop(grace=None)


@asynccontextmanager
async def _opened(carried: str, role: str, target: str, model: str) -> AsyncIterator[Hop]:
    open_hop: OpenHop = open_unary if carried == "unary" else open_link
    open_store: OpenStore = open_pool if carried == "unary" else open_pipe
    match role:
        case "state":
            async with open_store(target) as write:
                yield Hop(partial(_write, write), _nothing)
        case "executor":
            async with open_hop(target) as state, open_http_client(urlsplit(model).netloc) as http:
                yield Hop(partial(_record, state), partial(_talk, state, http))
        case "orchestrator":
            async with open_hop(target) as executor:
                yield Hop(partial(_steps, executor), executor.listen)
        case _:
            async with open_hop(target) as orchestrator:
                yield orchestrator


async def _steps(executor: Hop, request: bytes) -> bytes:
    """Have every step performed in sequence: one write before the first, and one after each."""
    number, writes = from_request(request)
    await executor.ask(to_request(number, 2))
    for _ in range(writes - 2):
        await executor.ask(to_request(number, 1))
    return request


async def _record(state: Hop, request: bytes) -> bytes:
    _, writes = from_request(request)
    for _ in range(writes):
        await state.ask(request)
    return request


async def _talk(state: Hop, model: HttpClient, request: bytes) -> AsyncIterator[bytes]:
    """Pass on each event of a model's as it comes, between a write before and one after."""
    await state.ask(request)
    async for event in model.stream("/v1/chat/completions", _CHAT):
        yield event
    await state.ask(request)


async def _write(write: Write, request: bytes) -> bytes:
    number, _ = from_request(request)
    await write(f"floor:{number % _KEYS}", request)
    return request


async def _nothing(_: bytes) -> AsyncIterator[bytes]:
    return
    yield b""


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
