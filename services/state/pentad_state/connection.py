"""Connections to the store: one address, no retries of their own, every wait bounded."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url

from pentad_state.store import Reply, Value

CONNECT_S = 2.0
BACKOFF_S_MIN = 0.05
BACKOFF_S_MAX = 1.0


class Server(NamedTuple):
    """One server on the network."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def to_server(text: str, port: int) -> Server:
    """Return the server that `HOST`, `HOST:PORT` or `[HOST]:PORT` names."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} names no server")
    return Server(parts.hostname, parts.port or port)


class Endpoint(Protocol):
    """Leads to a server of the store, which may be another one each time."""

    def connect(self) -> AbstractAsyncContextManager[AbstractConnection]:
        """Hold an open connection; leaving the block closes it without waiting."""
        ...


class Address:
    """Where one server is, as `redis://`, `rediss://` or `unix://`."""

    def __init__(self, url: str) -> None:
        arguments: dict[str, Any] = dict(parse_url(url))
        self._kind: type[AbstractConnection] = arguments.pop("connection_class", Connection)
        if issubclass(self._kind, Connection):
            arguments["socket_keepalive"] = True
        self._arguments = arguments

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AbstractConnection]:
        """Hold an open connection; leaving the block closes it without waiting."""
        connection = self._kind(
            **self._arguments,
            protocol=2,
            driver_info=None,
            socket_connect_timeout=CONNECT_S,
            # Whoever reads says how long; redis-py's own limit would break waiting for messages.
            socket_timeout=None,
        )
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.connect()  # type: ignore[no-untyped-call]
            yield connection
        finally:
            await connection.disconnect(nowait=True)


async def ask(connection: AbstractConnection, *command: Value) -> Reply:
    """Return what a server answers to one command; it has as long as for connecting."""
    async with asyncio.timeout(CONNECT_S):
        await connection.send_command(*command, check_health=False)
        return await connection.read_response(timeout=math.inf, disconnect_on_error=False)


class Backoff:
    """How long to wait before the next attempt to connect."""

    def __init__(self) -> None:
        self._s = 0.0

    def succeeded(self) -> None:
        """Make the next attempt come at once."""
        self._s = 0.0

    async def wait(self) -> None:
        """Wait: not at all at first, then longer each time, up to a second."""
        await asyncio.sleep(self._s)
        self._s = min(max(2 * self._s, BACKOFF_S_MIN), BACKOFF_S_MAX)
