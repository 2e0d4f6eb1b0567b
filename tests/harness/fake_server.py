"""A server that speaks enough of the store's protocol to misbehave."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import hiredis

Answer = Callable[[list[bytes]], bytes | None]
HANG_UP = b"hang up"


class FakeServer:
    """Speaks enough of the protocol to misbehave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer: Answer = echo
        self.reads: list[list[list[bytes]]] = []
        """Commands, by the read in which they arrived."""
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeServer"]:
        """Listen while the block runs."""
        server = await asyncio.start_unix_server(self._serve, self.path)
        try:
            yield self
        finally:
            server.close()
            for writer in tuple(self._writers):
                writer.close()
            self.path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with suppress(ConnectionError):  # callers leave as they like
            await self._answer_all(reader, writer)
        writer.close()
        self._writers.discard(writer)

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(1 << 20):
            parser.feed(data)
            commands: list[list[bytes]] = []
            while (command := parser.gets()) is not False:
                commands.append(command)
            self.reads.append(commands)
            for command in commands:
                answer = self.answer(command)
                if answer == HANG_UP:
                    return
                writer.write(answer or b"")


def echo(command: list[bytes]) -> bytes | None:
    """Answer with the last word."""
    return b"$%d\r\n%s\r\n" % (len(command[-1]), command[-1])
