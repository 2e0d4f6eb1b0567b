-- Forgets a session.
-- KEYS  session, messages, appends, index, expiries
-- ARGV  session
local session, messages, appends, index, expiries = unpack(KEYS)
local updated = redis.call('HGET', session, 'updated')
if updated then
  local member = stamp(tonumber(updated)) .. ARGV[1]
  redis.call('ZREM', index, member)
  redis.call('ZREM', expiries, member)
end
redis.call('DEL', session, messages, appends)
return 'OK'
