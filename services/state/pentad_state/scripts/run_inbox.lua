-- Returns what a run was told and has not journalled, and how much it heard before.
-- KEYS  run, inbox
-- ARGV  at most this many, at most this many bytes of them
local heard = tonumber(redis.call('HGET', KEYS[1], 'heard') or 0)
return {heard, slice(KEYS[2], 0, tonumber(ARGV[1]), tonumber(ARGV[2]))}
