-- Records a run; a repeat of the same request finds it.
-- KEYS  run, journal, ready, leases, index, due, turns
-- ARGV  id, tenant, fingerprint, head, event, owner, lease in ms (0: none), level, start in ms
--       (0: now), latest start in ms from now, at most this many runs that wait, status behind what
--       is begun with, events that it is begun with...
local run, journal, ready, leases, index, due, turns = unpack(KEYS)
local id, tenant, fingerprint, head, event, owner = unpack(ARGV, 1, 6)
local lease_ms, level, start = tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
local ahead_ms, most, status = tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12]
local FIRST = 13

if redis.call('EXISTS', run) == 1 then
  if redis.call('HGET', run, 'fingerprint') ~= fingerprint then
    return {'REUSED'}
  end
  return {'EXISTS', redis.call('HGETALL', run)}
end

local ms = now()
if start > ms + ahead_ms then
  return {'FAR'}
end
local claimed = lease_ms > 0 and start <= ms
if not claimed and redis.call('ZCARD', ready) + redis.call('ZCARD', due) >= most then
  return {'FULL'}
end
local place = level .. stamp(math.max(start, ms)) .. id .. tenant
redis.call('HSET', run, 'tenant', tenant, 'fingerprint', fingerprint, 'head', head,
  'created', digits(ms), 'place', place, 'seq', 1, 'fence', 0, 'state', QUEUED)
local mark = stamp(ms) .. string.rep('0', 16)
redis.call('DEL', journal)
redis.call('RPUSH', journal, mark .. event)
redis.call('ZADD', index, 0, stamp(ms) .. id)
if claimed then
  lease(run, leases, id, owner, ms, lease_ms)
  for i = FIRST, #ARGV do
    redis.call('RPUSH', journal, mark .. ARGV[i])
  end
  if #ARGV >= FIRST then
    redis.call('HSET', run, 'seq', #ARGV - FIRST + 2, 'status', status)
  end
else
  schedule(ready, due, turns, id, place, ms)
end
return {'CREATED', redis.call('HGETALL', run)}
