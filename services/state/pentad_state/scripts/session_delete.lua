-- Forgets a session. Who is at it stays there; what runs that gave way had done goes with it.
-- KEYS  session, messages, appends, index, expiries, slot
-- ARGV  session
local session, messages, appends, index, expiries, slot = unpack(KEYS)
local updated = redis.call('HGET', session, 'updated')
if updated then
  local member = stamp(tonumber(updated)) .. ARGV[1]
  redis.call('ZREM', index, member)
  redis.call('ZREM', expiries, member)
end
redis.call('DEL', session, messages, appends)
redis.call('HDEL', slot, 'kept')
return 'OK'
