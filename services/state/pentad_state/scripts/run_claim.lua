-- Hands a run that waits, or whose lease has expired, to an owner.
-- KEYS  run, journal, ready, leases
-- ARGV  id, owner, lease in ms, at most this many events, at most this many bytes of them
local run, journal, ready, leases = unpack(KEYS)
local id, owner, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local held = redis.call('HMGET', run, 'state', 'seq', 'cancel')
local state = tonumber(held[1] or '')
if state ~= QUEUED and state ~= RUNNING then
  -- Its keys are gone or it has ended: nobody shall be offered it again.
  redis.call('ZREM', ready, id)
  redis.call('ZREM', leases, id)
  return {'GONE'}
end
local ms = now()
local expiry = redis.call('ZSCORE', leases, id)
if expiry and tonumber(expiry) > ms then
  return {'TAKEN'}
end
local fence = lease(run, ready, leases, id, owner, ms, lease_ms)
local events = slice(journal, 0, tonumber(ARGV[4]), tonumber(ARGV[5]))
return {'CLAIMED', fence, tonumber(held[2]), held[3], events}
