"""`python -m bench.model_server ADDRESS`: a model that knows its answer beforehand.

It speaks OpenAI's chat completions and streams the same tokens to whoever asks, one in 2 ms, from
bytes that were made at the start. When it gets less of the processor than that takes, it sends all
that is due at once.
"""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from bench.processes import free_address, running
from bench.start import until_done
from bench.work import TOKENS

_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_TOKEN_S = 0.002


@asynccontextmanager
async def open_model_server(log: Path) -> AsyncIterator[str]:
    """Run it while the block runs; yields the URL of its API."""
    address = free_address()
    host, _, port = address.partition(":")
    command = (sys.executable, "-m", "bench.model_server", address)
    with running(command, log) as server:

        async def connect() -> None:
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()

        await until_done(connect, (server,))
        yield f"http://{address}/v1"


async def _main(address: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    host, _, port = address.partition(":")
    events = _events()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(_END_OF_HEAD)
                length = _LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(_HEAD)
                await _stream(writer, events)
        except (EOFError, ConnectionError):
            writer.close()

    await asyncio.start_server(serve, host, int(port))
    await stop.wait()


async def _stream(writer: asyncio.StreamWriter, events: Sequence[bytes]) -> None:
    """Send each event when it is due, and the end of the body with the last."""
    clock = asyncio.get_running_loop().time
    begun, sent = clock(), 0
    while sent < len(events):
        due = min(len(events), 1 + int((clock() - begun) / _TOKEN_S))
        writer.write(b"".join(events[sent:due]))
        await writer.drain()
        sent = due
        await asyncio.sleep(begun + sent * _TOKEN_S - clock())


def _events() -> Sequence[bytes]:
    """Return a body as chunks: one for each token, as OpenAI sends them, and one that ends."""
    pieces = [_event({"content": token}) for token in TOKENS]
    last = _event({}, "stop") + b"data: [DONE]\n\n"
    return [*map(_chunk, pieces), _chunk(last) + _chunk(b"")]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_800_000_000,
        "model": "talker",
        "choices": [choice],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
