"""A task group around a block that may be entered in one task and left in another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def open_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Own tasks while the block runs; leaving waits for them.

    The group has a task of its own: around a `yield` it would wrap the errors of the block, and
    cancel whichever task entered it.
    """
    opened: asyncio.Future[asyncio.TaskGroup] = asyncio.get_running_loop().create_future()
    leaving = asyncio.Event()

    async def hold() -> None:
        async with asyncio.TaskGroup() as group:
            opened.set_result(group)
            await leaving.wait()

    holder = asyncio.create_task(hold())
    try:
        yield await opened
    finally:
        leaving.set()
        await holder
