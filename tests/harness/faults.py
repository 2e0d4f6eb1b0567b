"""A proxy that does to a hop what networks, kernels and dying processes do to it.

    async with open_proxy("unix:/tmp/state.sock") as proxy:
        ...  # connect to proxy.address
        await proxy.begin(BLACK_HOLE)
        ...
        await proxy.heal()

Both ends are gRPC targets, `unix:PATH` or `HOST:PORT`. Bytes that a fault holds back are kept, and
go on when it heals, as TCP's repeats would make them. What a black hole swallowed is lost, so that
its connections are reset when it closes.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_CHUNK = 64 * 1024
_CHUNKS_WAITING = 16
"""With a chunk's size this bounds what one connection keeps in each direction."""

_CONNECTIONS_MAX = 256
_CONNECT_S = 5.0
_BEFORE_RESET_S = 0.005
_AT_ONCE_RST = struct.pack("ii", 1, 0)
"""SO_LINGER on, with no time: closing throws away what waits and sends RST."""


class Way(Enum):
    """Which way bytes go."""

    REQUESTS = "requests"
    """From the caller to the callee."""

    RESPONSES = "responses"


@dataclass(frozen=True, slots=True)
class Fault:
    """What a proxy does to those who pass; without any field set, nothing."""

    refuse: bool = False
    """Nobody listens, and the connections that stand are closed, as when a process died."""

    drop: bool = False
    """The connections that stand are closed as the fault begins; new ones pass."""

    delay_s: float = 0.0
    """Each byte comes so much later, each way."""

    hold: frozenset[Way] = frozenset()
    """Nothing gets through in these directions."""

    swallow: bool = False
    """Everything is accepted and nothing goes on."""

    reset: Way | None = None
    """Connections break with RST once so many bytes as `reset_after` have gone this way."""

    reset_after: int = 0

    once: bool = False
    """The fault heals with the first reset."""


PASS = Fault()
REFUSE = Fault(refuse=True)
DROP = Fault(drop=True)
DELAY = Fault(delay_s=0.1)
CUT_REQUESTS = Fault(hold=frozenset({Way.REQUESTS}))
CUT_RESPONSES = Fault(hold=frozenset({Way.RESPONSES}))
FREEZE = Fault(hold=frozenset(Way))
BLACK_HOLE = Fault(swallow=True)
RESET = Fault(reset=Way.RESPONSES, reset_after=48)
"""In the middle of a response: the first frame passes, and then a part of the next."""

LOSE_ONE_REQUEST = Fault(reset=Way.REQUESTS, once=True)
"""The next request is lost with its connection; the callee has seen nothing of it."""


class FaultProxy:
    """Passes connections on to `target`; one fault at a time, switched while they stand."""

    def __init__(self, target: str, listen: str) -> None:
        self.target = target
        self.address = listen
        self.fault = PASS
        self.connections = 0
        """Accepted so far."""
        self.passed = dict.fromkeys(Way, 0)
        """Bytes that went on, by direction."""
        self._open: dict[asyncio.Task[None], _Connection] = {}
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None

    @property
    def open_connections(self) -> int:
        """How many callers are connected now."""
        return len(self._open)

    async def begin(self, fault: Fault) -> None:
        """Do this to all who pass from now on, and nothing else."""
        self._switch(fault)
        if fault.refuse:
            await self._stop_listening()
        else:
            await self._listen()
        async with self._changed:
            self._changed.notify_all()

    async def heal(self) -> None:
        """Let everything pass; what was held goes on its way."""
        await self.begin(PASS)

    async def until_passable(self, way: Way) -> None:
        """Return as soon as nothing is held in this direction."""
        async with self._changed:
            await self._changed.wait_for(lambda: way not in self.fault.hold)

    def strike(self) -> None:
        """Take note that a connection was reset."""
        if self.fault.once:
            self._switch(PASS)

    async def open(self) -> None:
        """Begin to listen."""
        await self._listen()

    async def close(self) -> None:
        """End every connection and listen no more."""
        await self._stop_listening()
        if self._reserved is not None:
            self._reserved.close()
        tasks = list(self._open)
        self._end(tasks, reset=False)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _switch(self, fault: Fault) -> None:
        lossy = [task for task, connection in self._open.items() if connection.lossy]
        self.fault = fault
        for connection in self._open.values():
            connection.count_anew()
        if not fault.swallow:
            self._end(lossy, reset=True)
        if fault.drop or fault.refuse:
            self._end(list(self._open), reset=False)

    def _end(self, tasks: list[asyncio.Task[None]], *, reset: bool) -> None:
        for task in tasks:
            self._open[task].resets = reset
            task.cancel()

    async def _listen(self) -> None:
        if self._server is not None:
            return
        held, self._reserved = self._reserved or _bound(self.address), None
        if held.family == socket.AF_UNIX:
            self._server = await asyncio.start_unix_server(self._accept, sock=held)
        else:
            self._server = await asyncio.start_server(self._accept, sock=held)
            self.address = "{}:{}".format(*held.getsockname())

    async def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        # Bound and not listening, the address refuses, and nobody else can take it meanwhile.
        self._reserved = _bound(self.address)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(self, reader, writer)
        if len(self._open) >= _CONNECTIONS_MAX:
            connection.end()
            return
        task = asyncio.get_running_loop().create_task(connection.carry())
        self._open[task] = connection
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # One that was cancelled before it began has closed nothing.
        self._open.pop(task).end()


class _Connection:
    """One caller, and the connection to the callee made for it."""

    def __init__(
        self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writers = [writer]
        self._counted = dict.fromkeys(Way, 0)
        self.lossy = False
        """Bytes were swallowed; what follows could not be understood any more."""
        self.resets = False
        """It ends with RST rather than in order."""

    def count_anew(self) -> None:
        """Measure how far a response has come from here on."""
        self._counted = dict.fromkeys(Way, 0)

    async def carry(self) -> None:
        """Pass bytes both ways until either end leaves or a fault strikes."""
        try:
            if self._proxy.fault.swallow:
                self.lossy = True
                while await self._reader.read(_CHUNK):
                    pass
                raise ConnectionResetError
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await _connect(self._proxy.target)
            self._writers.append(writer)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(self._reader, writer, Way.REQUESTS))
                ways.create_task(self._pass(reader, self._writers[0], Way.RESPONSES))
        except* OSError:
            pass  # one end left, or a fault struck: the other end is told below
        finally:
            self.end()

    def end(self) -> None:
        """Close both sides at once."""
        for writer in self._writers:
            if writer.transport.is_closing():
                continue
            held = writer.get_extra_info("socket")
            if self.resets and held is not None and held.family != socket.AF_UNIX:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE_RST)
            writer.transport.abort()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way
    ) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_WAITING)
        async with asyncio.TaskGroup() as both:
            both.create_task(self._take(source, waiting))
            both.create_task(self._give(waiting, sink, way))

    async def _take(
        self, source: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        now = asyncio.get_running_loop().time
        chunk = b"-"
        while chunk:
            chunk = await source.read(_CHUNK)
            await waiting.put((now() + self._proxy.fault.delay_s, chunk))

    async def _give(
        self,
        waiting: asyncio.Queue[tuple[float, bytes]],
        sink: asyncio.StreamWriter,
        way: Way,
    ) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due_s, chunk = await waiting.get()
            await asyncio.sleep(max(0.0, due_s - now()))
            await self._proxy.until_passable(way)
            if not chunk:
                sink.write_eof()
                return
            if self._proxy.fault.swallow:
                self.lossy = True
                continue
            await self._forward(chunk, sink, way)

    async def _forward(self, chunk: bytes, sink: asyncio.StreamWriter, way: Way) -> None:
        fault = self._proxy.fault
        left = fault.reset_after - self._counted[way]
        strikes = fault.reset is way and len(chunk) >= left
        if strikes:
            chunk = chunk[: max(0, left)]
        if chunk:
            sink.write(chunk)
            await sink.drain()
            self._counted[way] += len(chunk)
            self._proxy.passed[way] += len(chunk)
        if strikes:
            # gRPC does not notice a reset that comes together with data until it next writes.
            await asyncio.sleep(_BEFORE_RESET_S)
            self._proxy.strike()
            self.resets = True
            raise ConnectionResetError


@asynccontextmanager
async def open_proxy(target: str, listen: str = "127.0.0.1:0") -> AsyncIterator[FaultProxy]:
    """Stand before `target` while the block runs."""
    proxy = FaultProxy(target, listen)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()


def _bound(address: str) -> socket.socket:
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        Path(path).unlink(missing_ok=True)
        held = socket.socket(socket.AF_UNIX)
        held.bind(path)
        return held
    host, _, port = address.rpartition(":")
    # Told the protocol, asyncio turns off Nagle's delay on every connection it accepts.
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((host, int(port)))
    return held


async def _connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("unix:"):
        return await asyncio.open_unix_connection(target.removeprefix("unix:"))
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host, int(port))
