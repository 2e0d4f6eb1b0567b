"""Whether a server of the store serves, found by asking it something that changes nothing."""

import asyncio
from collections.abc import Awaitable

from redis.exceptions import RedisError

from pentad_state.errors import StoreUnavailable
from pentad_state.store import Reply


async def probe(*calls: Awaitable[Reply], within_s: float) -> str:
    """Return why a server does not serve, or nothing when it answers each call in time."""
    try:
        async with asyncio.timeout(within_s):
            await asyncio.gather(*calls)
    except StoreUnavailable as error:
        return error.metadata["cause"]
    except RedisError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {within_s:g} s"
    return ""
