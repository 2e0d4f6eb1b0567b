-- Records a run whose journal begins with another one's events; a repeat of the same request finds
-- it.
-- KEYS  run, journal, ready, index, due, turns
-- ARGV  id, tenant, fingerprint, head, level, start in ms (0: now), at most this many runs that wait,
--       status, the event that says so, events behind their times and tags...
local run, journal, ready, index, due, turns = unpack(KEYS)
local id, tenant, fingerprint, head, level = unpack(ARGV, 1, 5)
local start, most, status, forked = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
local FIRST = 10

if redis.call('EXISTS', run) == 1 then
  if redis.call('HGET', run, 'fingerprint') ~= fingerprint then
    return {'REUSED'}
  end
  return {'EXISTS', redis.call('HGETALL', run)}
end
if redis.call('ZCARD', ready) + redis.call('ZCARD', due) >= most then
  return {'FULL'}
end

local ms = now()
local place = level .. stamp(math.max(start, ms)) .. id .. tenant
redis.call('DEL', journal)
for i = FIRST, #ARGV do
  redis.call('RPUSH', journal, ARGV[i])
end
redis.call('RPUSH', journal, stamp(ms) .. string.rep('0', 16) .. forked)
redis.call('HSET', run, 'tenant', tenant, 'fingerprint', fingerprint, 'head', head,
  'created', digits(ms), 'place', place, 'seq', #ARGV - FIRST + 2, 'fence', 0, 'state', QUEUED,
  'status', status)
redis.call('ZADD', index, 0, stamp(ms) .. id)
schedule(ready, due, turns, id, place, ms)
return {'CREATED', redis.call('HGETALL', run)}
