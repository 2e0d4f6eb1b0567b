"""The store behind sentinels, who know which of its servers is the primary."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from pentad_state.connection import Endpoint, Server, ask


class Sentinels:
    """Leads to the primary of the day."""

    def __init__(
        self, sentinels: Sequence[Endpoint], primary: str, at: Callable[[Server], Endpoint]
    ) -> None:
        self._sentinels = deque(sentinels)
        self._primary = primary
        self._at = at

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AbstractConnection]:
        """Hold an open connection to the primary; leaving the block closes it without waiting."""
        server = await self._find()
        async with self._at(server).connect() as connection:
            role, *_ = await ask(connection, "ROLE")
            if role != b"master":
                # Whoever is late with the news is not to be asked first again.
                self._sentinels.rotate(-1)
                raise ConnectionError(f"{server} is not the primary")
            yield connection

    async def _find(self) -> Server:
        for _ in range(len(self._sentinels)):
            try:
                async with self._sentinels[0].connect() as connection:
                    found = await ask(
                        connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._primary
                    )
            except (RedisError, OSError, TimeoutError):
                found = None
            if found is not None:
                host, port = found
                return Server(host.decode(), int(port))
            self._sentinels.rotate(-1)
        raise ConnectionError(f"no sentinel knows the primary {self._primary!r}")
