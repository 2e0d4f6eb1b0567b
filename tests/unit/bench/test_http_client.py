"""The client that carries requests to peers for as little as it can."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench.http_client import HttpClient, NotServed, open_http_client

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3\r\none\r\na\r\n\r\ntwothree\r\n0\r\n\r\n"
)
REFUSED = b"HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno such"
TORN = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello"


class Server:
    """Answers every request with the same bytes, and counts connections."""

    def __init__(self, answer: bytes) -> None:
        self.connections = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(self._answer)
                if self._answer == TORN:
                    break
        except EOFError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(answer: bytes) -> AsyncIterator[tuple[HttpClient, Server]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening, asyncio.timeout(20):
        address = "{}:{}".format(*listening.sockets[0].getsockname())
        async with open_http_client(address) as client:
            yield client, server


async def test_one_connection_carries_one_request_after_the_other() -> None:
    async with served(WHOLE) as (client, server):
        answers = [await client.post("/", {}) for _ in range(3)]

        assert answers == [b"hello"] * 3
        assert server.connections == 1


async def test_a_body_in_chunks_comes_chunk_by_chunk() -> None:
    async with served(CHUNKED) as (client, server):
        for _ in range(2):
            assert [part async for part in client.stream("/", {})] == [b"one", b"\r\ntwothree"]

        assert server.connections == 1


async def test_a_status_that_is_not_of_success_is_told_with_what_came() -> None:
    async with served(REFUSED) as (client, _):
        with pytest.raises(NotServed, match="HTTP status 404: no such"):
            await client.post("/", {})


async def test_an_answer_that_is_torn_is_none() -> None:
    async with served(TORN) as (client, _):
        with pytest.raises(EOFError):
            await client.post("/", {})
