"""Connections to the store: one address, no retries of their own, every wait bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, parse_url

CONNECT_S = 2.0
BACKOFF_S_MIN = 0.05
BACKOFF_S_MAX = 1.0


class Address:
    """Where the store is, as `redis://`, `rediss://` or `unix://`."""

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
