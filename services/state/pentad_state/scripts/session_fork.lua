-- Begins a session with messages of another one; a repeat of the same fork finds it.
-- KEYS  session, messages, appends, index, expiries, slot, line
-- ARGV  tenant, session, tag of the fork, place of the last message, ms it lives, ms an index lives,
--       messages behind their times...
local session, messages, _, index, expiries, slot = unpack(KEYS)
local tenant, id, tag, seq, live_ms, index_ms = unpack(ARGV, 1, 6)
local FIRST = 7

local fork = redis.call('HGET', session, 'fork')
if fork == tag then
  return {'OK', redis.call('HGETALL', session)}
end
if redis.call('EXISTS', session, slot) > 0 then
  return {'EXISTS'}
end
local ms = now()
local expiry = digits(ms + tonumber(live_ms))
for i = FIRST, #ARGV do
  redis.call('RPUSH', messages, ARGV[i])
end
redis.call('HSET', session, 'tenant', tenant, 'session_id', id, 'seq', seq, 'fork', tag,
  'created', digits(ms), 'updated', digits(ms), 'expires', expiry)
redis.call('PEXPIRE', session, live_ms)
redis.call('PEXPIRE', messages, live_ms)
redis.call('ZADD', index, 0, stamp(ms) .. id)
redis.call('ZADD', expiries, expiry, stamp(ms) .. id)
prune(index, expiries, ms)
redis.call('PEXPIRE', index, index_ms)
redis.call('PEXPIRE', expiries, index_ms)
return {'OK', redis.call('HGETALL', session)}
