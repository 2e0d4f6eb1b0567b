"""Writes to the floor's store, each of which is on the disk before it is acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis, UnixDomainSocketConnection
from redis.exceptions import RedisError

from bench.floor.hop import WAIT_S

_CONNECTIONS = 64
_POLL_S = 0.05

Write = Callable[[str, bytes], Awaitable[None]]


@asynccontextmanager
async def open_pool(url: str) -> AsyncIterator[Write]:
    """Write as redis-py does by itself: a round trip for each, on one connection of many."""
    pool = BlockingConnectionPool.from_url(url, max_connections=_CONNECTIONS, timeout=WAIT_S)
    async with Redis.from_pool(pool) as store:

        async def write(key: str, value: bytes) -> None:
            await store.set(key, value)

        yield write


@asynccontextmanager
async def open_pipe(url: str) -> AsyncIterator[Write]:
    """Write over one connection: all commands that wait leave in one round trip."""
    connection = await _connected(url)
    waiting: list[tuple[bytes, asyncio.Future[None]]] = []
    wake = asyncio.Event()

    async def carry() -> None:
        while True:
            await wake.wait()
            wake.clear()
            batch, waiting[:] = waiting[:], []
            packed = b"".join(command for command, _ in batch)
            await connection.send_packed_command(packed, check_health=False)
            for _, done in batch:
                await connection.read_response()
                if not done.done():
                    done.set_result(None)

    async def write(key: str, value: bytes) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append((_packed(key, value), done))
        wake.set()
        await done

    async with asyncio.TaskGroup() as group:
        carrying = group.create_task(carry())
        yield write
        carrying.cancel()
    await connection.disconnect()


async def _connected(url: str) -> UnixDomainSocketConnection:
    """Return a connection to a store that may still be starting."""
    connection = UnixDomainSocketConnection(path=url.removeprefix("unix://"))
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await connection.connect()  # type: ignore[no-untyped-call] # theirs
            except (RedisError, OSError):
                await asyncio.sleep(_POLL_S)
            else:
                return connection


def _packed(key: str, value: bytes) -> bytes:
    name = key.encode()
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(value), value)
