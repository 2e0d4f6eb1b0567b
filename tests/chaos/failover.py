"""A store behind sentinels, whose primary dies or hangs until another one takes over."""

import asyncio

from harness.engines import Node, Trio

_TAKEOVER_S = 20.0
_POLL_S = 0.05


class Failover:
    """Strikes whichever server is the primary."""

    def __init__(self, trio: Trio) -> None:
        self._trio = trio

    async def die(self) -> bool:
        """Kill the primary until there is another; whether there was one in time."""
        primary = await self._primary()
        await asyncio.to_thread(primary.kill)
        try:
            return await self._has_fallen(primary)
        finally:
            await asyncio.to_thread(primary.start)

    async def hang(self) -> bool:
        """Stop the primary until there is another, and let it go on as what it was."""
        primary = await self._primary()
        primary.halt()
        try:
            return await self._has_fallen(primary)
        finally:
            primary.go_on()

    async def _primary(self) -> Node:
        return await asyncio.to_thread(self._trio.primary_now)

    async def _has_fallen(self, primary: Node) -> bool:
        try:
            async with asyncio.timeout(_TAKEOVER_S):
                while await self._primary() is primary:  # noqa: ASYNC110 - it is asked of another process
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            return False
        return True
