-- Records that a run is to end, and says so to whoever can end it.
-- KEYS  run, ready
-- ARGV  id, tenant, reason
local run, ready = unpack(KEYS)
local id, tenant, reason = unpack(ARGV)

local held = redis.call('HMGET', run, 'tenant', 'state', 'owner')
if held[1] ~= tenant then
  return {'GONE'}
end
local state = tonumber(held[2])
if state <= RUNNING then
  redis.call('HSETNX', run, 'cancel', reason)
end
if state == QUEUED then
  redis.call('ZADD', ready, 0, id)
  announce(id)
elseif state == RUNNING then
  redis.call('PUBLISH', 'pentad:work', 'cancel ' .. id .. ' ' .. held[3])
end
return {'OK', redis.call('HGETALL', run)}
