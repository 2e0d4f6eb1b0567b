-- Stores a value if the entry has the expected version.
-- KEYS  entry, index, expiries
-- ARGV  key, value, expected version (empty: any), ms it lives (0: for ever)
local entry, index, expiries = unpack(KEYS)
local name, value, expected, live_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local version = tonumber(redis.call('HGET', entry, 'version') or '0')
if expected ~= '' and tonumber(expected) ~= version then
  return {'MISMATCH', version}
end
local ms = now()
redis.call('HSET', entry, 'value', value, 'version', version + 1, 'updated', digits(ms))
redis.call('HSETNX', entry, 'created', digits(ms))
redis.call('ZADD', index, 0, name)
if live_ms > 0 then
  redis.call('HSET', entry, 'expires', digits(ms + live_ms))
  redis.call('PEXPIRE', entry, digits(live_ms))
  redis.call('ZADD', expiries, digits(ms + live_ms), name)
else
  redis.call('HDEL', entry, 'expires')
  redis.call('PERSIST', entry)
  redis.call('ZREM', expiries, name)
end
prune(index, expiries, ms)
local held = redis.call('HMGET', entry, 'created', 'expires')
local fields = {'version', digits(version + 1), 'created', held[1], 'updated', digits(ms)}
if held[2] then
  fields[7], fields[8] = 'expires', held[2]
end
return {'OK', fields}
