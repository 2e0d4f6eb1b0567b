-- Records a run; a repeat of the same request finds it.
-- KEYS  run, journal, ready, leases, index
-- ARGV  id, tenant, fingerprint, head, event, owner, lease in ms (0: none), ms that a run lives at most
local run, journal, ready, leases, index = unpack(KEYS)
local id, tenant, fingerprint, head, event, owner = unpack(ARGV, 1, 6)
local lease_ms, live_ms = tonumber(ARGV[7]), tonumber(ARGV[8])

if redis.call('EXISTS', run) == 1 then
  if redis.call('HGET', run, 'fingerprint') ~= fingerprint then
    return {'REUSED'}
  end
  return {'EXISTS', redis.call('HGETALL', run)}
end

local ms = now()
redis.call('HSET', run, 'tenant', tenant, 'fingerprint', fingerprint, 'head', head,
  'created', digits(ms), 'seq', 1, 'fence', 0, 'state', QUEUED)
redis.call('DEL', journal)
redis.call('RPUSH', journal, stamp(ms) .. string.rep('0', 16) .. event)
redis.call('ZADD', index, 0, stamp(ms) .. id)
redis.call('ZREMRANGEBYLEX', index, '-', '(' .. stamp(ms - live_ms))
redis.call('PEXPIRE', index, digits(live_ms))
if lease_ms > 0 then
  lease(run, ready, leases, id, owner, ms, lease_ms)
else
  redis.call('ZADD', ready, digits(ms), id)
  announce(id)
end
return {'CREATED', redis.call('HGETALL', run)}
