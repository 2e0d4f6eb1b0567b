"""`python -m bench.hop`: what the whole chassis costs on a hop, as a ratio to a bare one.

One unary call over a unix socket, both ends in this process, so that its processor time is that of
the hop. All kinds are there at the same time and take turns.
"""

import argparse
import asyncio
import io
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import grpc
import uvloop
from opentelemetry import context as otel

from pentad.state.v1 import entry_service_pb2 as pb
from pentad.state.v1 import entry_service_pb2_grpc as pb_grpc
from pentad_chassis.channel import open_channel
from pentad_chassis.config import Settings
from pentad_chassis.server import Context, serving
from pentad_chassis.telemetry import extract, open_telemetry

_REQUEST = pb.GetEntryRequest(scope="bench", key="key")
_TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
"""From outside, as on every inner hop: the root of a trace is not the hop's cost."""

_TURN = 400
"""Calls in a turn: few, so that whatever else the machine does falls on all kinds alike."""

_WARM_UP = 3

Work = Callable[[int], Coroutine[Any, Any, None]]


class Echo(pb_grpc.EntryServiceServicer):
    """Answers at once."""

    async def GetEntry(self, request: pb.GetEntryRequest, context: Context) -> pb.GetEntryResponse:
        return pb.GetEntryResponse(entry=pb.Entry(key=request.key))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.hop", description=__doc__)
    parser.add_argument("--turns", type=int, default=60, help="turns of each kind (60)")
    parser.add_argument("--concurrency", type=int, default=16, help="calls in flight (16)")
    arguments = parser.parse_args()
    samples = uvloop.run(_measured(arguments.turns, arguments.concurrency))
    print(f"{'hop':<26}{'CPU µs/call':>13}{'ratio to bare':>15}")
    for kind, costs in samples.items():
        ratio = statistics.median(c / b for c, b in zip(costs, samples["bare"], strict=True))
        print(f"{kind:<26}{statistics.median(costs):>13.0f}{ratio:>14.2f}x")
    return 0


async def _measured(turns: int, concurrency: int) -> dict[str, list[float]]:
    async with AsyncExitStack() as stack:
        works = {
            kind: await stack.enter_async_context(opened)
            for kind, opened in {
                "bare": _bare(),
                "by itself, unsampled": _chassis("", link=False),
                "by itself, sampled": _chassis(_TRACE, link=False),
                "over a link, unsampled": _chassis("", link=True),
                "over a link, sampled": _chassis(_TRACE, link=True),
            }.items()
        }
        samples: dict[str, list[float]] = {kind: [] for kind in works}
        for turn in range(turns + _WARM_UP):
            for kind, work in works.items():
                cost = await _cost_us(work, _TURN, concurrency)
                if turn >= _WARM_UP:
                    samples[kind].append(cost)
    return samples


async def _cost_us(work: Work, calls: int, concurrency: int) -> float:
    begun = time.process_time()
    await asyncio.gather(*(work(calls // concurrency) for _ in range(concurrency)))
    return (time.process_time() - begun) / calls * 1e6


@asynccontextmanager
async def _bare() -> AsyncIterator[Work]:
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/s"
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        pb_grpc.add_EntryServiceServicer_to_server(Echo(), server)
        server.add_insecure_port(address)
        await server.start()
        async with grpc.aio.insecure_channel(address) as channel:
            yield partial(_call, pb_grpc.EntryServiceStub(channel), "")
        await server.stop(0)


@asynccontextmanager
async def _chassis(traceparent: str, *, link: bool) -> AsyncIterator[Work]:
    telemetry = open_telemetry("bench", "error", io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        config = Settings(address=f"unix:{folder}/s", link=link)
        add = partial(pb_grpc.add_EntryServiceServicer_to_server, Echo())
        async with (
            serving(config, telemetry, [add]),
            open_channel("bench", config.address, config, telemetry) as channel,
        ):
            yield partial(_call, pb_grpc.EntryServiceStub(channel), traceparent)


async def _call(stub: Any, traceparent: str, calls: int) -> None:
    """Make calls one after the other, inside the trace that is given."""
    if traceparent:
        otel.attach(extract(traceparent))
    for _ in range(calls):
        await stub.GetEntry(_REQUEST, timeout=10.0)


if __name__ == "__main__":
    sys.exit(main())
