-- Tells a run something, once.
-- KEYS  run, inbox, tags of what it was told, ready, wakes
-- ARGV  id, tenant, tag of the signal, what it is told, at most this many that it has not heard
local run, inbox, tags, ready, wakes = unpack(KEYS)
local id, tenant, tag, event, most = unpack(ARGV)

local held = redis.call('HMGET', run, 'tenant', 'state', 'told', 'heard')
if held[1] ~= tenant then
  return 'GONE'
end
local state = tonumber(held[2])
if state ~= QUEUED and state ~= RUNNING and state ~= PAUSED and state ~= WAITING then
  return 'ENDED'
end
if redis.call('SISMEMBER', tags, tag) == 1 then
  return 'OK'
end
if unheard(held[3], held[4]) >= tonumber(most) then
  return 'FULL'
end
redis.call('SADD', tags, tag)
tell(run, inbox, ready, wakes, id, event, now())
return 'OK'
