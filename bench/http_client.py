"""As little of an HTTP/1.1 client as carries a request: what it costs is taken from the peers.

The libraries take some 0.4 ms of processor time for a request, a good part of a whole run, on the
same cores that the peers have.
"""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.load import CALL_S, WrongAnswer

_BODY_BYTES_MAX = 4 * 1024 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_END_OF_LINE = b"\r\n"

Connection = tuple[StreamReader, StreamWriter]


class NotServed(WrongAnswer):
    """A server answered with a status that is not of success."""


class HttpClient:
    """Sends requests to one server, each on a connection of its own, which then waits for more."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")
        self._idle: list[Connection] = []

    async def post(self, path: str, document: object) -> bytes:
        """Send a document as JSON and return the body of the answer once all of it is there."""
        return b"".join([part async for part in self.stream(path, document)])

    async def stream(self, path: str, document: object) -> AsyncIterator[bytes]:
        """Send a document as JSON and yield the body of the answer as it comes, chunk by chunk."""
        body = json.dumps(document).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        async with asyncio.timeout(CALL_S), self._connection() as (reader, writer):
            writer.write(head.encode() + body)
            async for part in _answer(reader):
                yield part

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; it is kept if all went well."""
        connection = await self._open()
        try:
            yield connection
        except BaseException:
            connection[1].close()
            raise
        self._idle.append(connection)

    async def _open(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()  # the server had waited long enough
        return await asyncio.open_connection(self._host, int(self._port), limit=_BODY_BYTES_MAX)

    def close(self) -> None:
        """Close the connections that wait."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


@asynccontextmanager
async def open_http_client(address: str) -> AsyncIterator[HttpClient]:
    """Send requests to a server while the block runs."""
    client = HttpClient(address)
    try:
        yield client
    finally:
        client.close()


async def _answer(reader: StreamReader) -> AsyncIterator[bytes]:
    status, *lines = (await reader.readuntil(_END_OF_HEAD)).decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    chunked = headers.get("transfer-encoding") == "chunked"
    parts = _chunks(reader) if chunked else _whole(reader, int(headers["content-length"]))
    code = status.split(" ")[1]
    if not code.startswith("2"):
        body = b"".join([part async for part in parts])
        raise NotServed(f"HTTP status {code}: {body[:200].decode(errors='replace')}")
    async for part in parts:
        yield part


async def _whole(reader: StreamReader, length: int) -> AsyncIterator[bytes]:
    yield await reader.readexactly(length)


async def _chunks(reader: StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(_END_OF_LINE), 16):
        yield (await reader.readexactly(size + len(_END_OF_LINE)))[:-2]
    await reader.readexactly(len(_END_OF_LINE))
