-- Records that a run is to end, and says so to whoever can end it.
-- KEYS  run, ready, due, wakes
-- ARGV  id, tenant, reason
local run, ready, due, wakes = unpack(KEYS)
local id, tenant, reason = unpack(ARGV)

local held = redis.call('HMGET', run, 'tenant', 'state', 'owner', 'place')
if held[1] ~= tenant then
  return {'GONE'}
end
local state, place = tonumber(held[2]), held[4]
if state == RUNNING then
  redis.call('HSETNX', run, 'cancel', reason)
  say('cancel', id, held[3])
elseif state == QUEUED or state == PAUSED or state == WAITING then
  -- Only an owner writes to a journal: it waits for one, also when it rested.
  redis.call('HSETNX', run, 'cancel', reason)
  redis.call('ZREM', due, place)
  call_up(run, ready, wakes, id, place, true)
end
return {'OK', redis.call('HGETALL', run)}
