"""Just enough of an HTTP/1.1 server for the model servers beside it: stdlib, loopback, honest.

It streams with chunked encoding, keeps connections alive and notices when a client leaves.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}
_BODY_MAX = 8 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """What a client asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict), "the body is a JSON object"
        return value


@dataclass
class Exchange:
    """One request and the way to answer it."""

    request: Request
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _streaming: bool = field(default=False)

    @property
    def client(self) -> tuple[str, int]:
        """Address and port of the connection's other end."""
        host, port = self._writer.get_extra_info("peername")
        return host, port

    async def answer(self, status: int, body: dict[str, Any], **headers: str) -> None:
        """Send a whole JSON answer."""
        content = json.dumps(body).encode()
        self._head(status, "application/json", f"content-length: {len(content)}", headers)
        self._writer.write(content)
        await self._writer.drain()

    async def event(self, data: str, name: str = "") -> None:
        """Send one server-sent event; the first one opens the stream."""
        if not self._streaming:
            self._streaming = True
            self._head(200, "text/event-stream; charset=utf-8", "transfer-encoding: chunked", {})
        named = f"event: {name}\n" if name else ""
        self._chunk(f"{named}data: {data}\n\n".encode())
        await self._writer.drain()

    async def end(self) -> None:
        """Close the event stream; the connection stays."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def until_the_client_leaves(self) -> None:
        """Say nothing more and wait for the other side to close."""
        while await self._reader.read(1024):
            pass

    def _chunk(self, content: bytes) -> None:
        self._writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def _head(self, status: int, kind: str, framing: str, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", f"content-type: {kind}"]
        lines += [framing, *(f"{key.replace('_', '-')}: {v}" for key, v in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())


@asynccontextmanager
async def serving_http(
    handle: Callable[[Exchange], Awaitable[None]], port: int = 0
) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 while the block runs; yields `http://127.0.0.1:PORT`."""
    serving: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                await handle(Exchange(request, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # whoever asked is gone
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(connected(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines if x)}
    length = int(headers.get("content-length", "0"))
    assert length <= _BODY_MAX, "a request of a test is small"
    return Request(method, path, headers, await reader.readexactly(length))
