-- Records that a run is to rest, and says so to whoever can let it.
-- KEYS  run, ready, due
-- ARGV  id, tenant, reason
local run, ready, due = unpack(KEYS)
local id, tenant, reason = unpack(ARGV)

local held = redis.call('HMGET', run, 'tenant', 'state', 'owner', 'place')
if held[1] ~= tenant then
  return {'GONE'}
end
local state, place = tonumber(held[2]), held[4]
if state == QUEUED or state == RUNNING then
  redis.call('HSETNX', run, 'pause', reason)
  redis.call('HDEL', run, 'withdrawn')
end
if state == QUEUED then
  -- Only an owner writes to a journal: it waits for one.
  redis.call('ZREM', due, place)
  go_ahead(ready, place, true)
  announce(id)
elseif state == RUNNING then
  redis.call('PUBLISH', 'pentad:work', 'pause ' .. id .. ' ' .. held[3])
end
return {'OK', redis.call('HGETALL', run)}
