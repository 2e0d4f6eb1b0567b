"""Letting a store forget within a minute what a suite keeps for an hour or for days.

A suite can be told to keep runs for a day at the least, which no soak lasts. So their lives are
shortened in the store itself; that they are over is for the suite to find out.
"""

import asyncio

import redis

from pentad_state.partitions import PARTITIONS, key

_AT_ONCE = 500
_PAUSE_S = 5.0

_KEYS = """
-- ARGV  cursor, keys to look at, ms that what expires may live at most
local cursor, found = unpack(redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2]))
for _, key in ipairs(found) do
  if redis.call('PTTL', key) > tonumber(ARGV[3]) then
    redis.call('PEXPIRE', key, ARGV[3])
  end
end
return cursor
"""

_LISTS = """
-- KEYS  ended
-- ARGV  ms that what has ended may live at most
local time = redis.call('TIME')
local latest = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1])
for _, run in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. latest, '+inf')) do
  redis.call('ZADD', KEYS[1], latest, run)
end
"""


class Ageing:
    """Shortens lives in one store."""

    def __init__(self, engine: redis.Redis, keep_s: float) -> None:
        self._keys = engine.register_script(_KEYS)
        self._lists = engine.register_script(_LISTS)
        self._keep_ms = int(keep_s * 1000)

    async def keep_on(self) -> None:
        """Go over everything again and again, until cancelled."""
        while True:
            await asyncio.to_thread(self._go_over)
            await asyncio.sleep(_PAUSE_S)

    def _go_over(self) -> None:
        # A little at a time: the store has others to serve.
        cursor = b"0"
        while (cursor := self._keys(args=[cursor, _AT_ONCE, self._keep_ms])) != b"0":
            pass
        for partition in range(PARTITIONS):
            self._lists(keys=[key(partition, "ended")], args=[self._keep_ms])
