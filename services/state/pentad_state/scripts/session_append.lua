-- Adds messages to a session. Each is kept behind its time, 13 digits. The place of a message is
-- counted over the session's life, also when its oldest messages are gone.
-- KEYS  session, messages, appends, index, expiries
-- ARGV  tenant, session, append, ms it lives, messages at most, ms an index lives, messages...
local session, messages, appends, index, expiries = unpack(KEYS)
local tenant, id, append, index_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local live_ms, most = tonumber(ARGV[4]), tonumber(ARGV[5])

if redis.call('ZSCORE', appends, append) then
  return redis.call('HGETALL', session)
end
local ms = now()
local held = redis.call('HMGET', session, 'seq', 'updated')
local seq = tonumber(held[1] or '0') + #ARGV - 6
if held[2] then
  local before = stamp(tonumber(held[2])) .. id
  redis.call('ZREM', index, before)
  redis.call('ZREM', expiries, before)
end
for i = 7, #ARGV do
  redis.call('RPUSH', messages, stamp(ms) .. ARGV[i])
end
redis.call('LTRIM', messages, -most, -1)
redis.call('ZADD', appends, seq, append)
redis.call('ZREMRANGEBYRANK', appends, 0, -most - 1)
redis.call('HSET', session, 'tenant', tenant, 'session_id', id, 'seq', seq,
  'updated', digits(ms), 'expires', digits(ms + live_ms))
redis.call('HSETNX', session, 'created', digits(ms))
for _, key in ipairs({session, messages, appends}) do
  redis.call('PEXPIRE', key, digits(live_ms))
end
redis.call('ZADD', index, 0, stamp(ms) .. id)
redis.call('ZADD', expiries, digits(ms + live_ms), stamp(ms) .. id)
prune(index, expiries, ms)
redis.call('PEXPIRE', index, index_ms)
redis.call('PEXPIRE', expiries, index_ms)
return redis.call('HGETALL', session)
