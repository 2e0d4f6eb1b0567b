-- Hands a run that waits, or whose lease has expired, to an owner.
-- KEYS  run, journal, ready, leases, inbox
-- ARGV  id, its place in ready, owner, lease in ms, at most this many events, at most this many
--       bytes of them, at most this many bytes of what it was told
local run, journal, ready, leases, inbox = unpack(KEYS)
local id, place, owner, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local held = redis.call('HMGET', run, 'state', 'seq', 'cancel', 'pause', 'resumed',
  'owner', 'told', 'heard')
local state = tonumber(held[1] or '')
if state ~= QUEUED and state ~= RUNNING and state ~= WAITING then
  -- Its keys are gone, or it rests or has ended: nobody shall be offered it again.
  redis.call('ZREM', ready, place)
  redis.call('ZREM', leases, id)
  return {'GONE'}
end
local ms = now()
local expiry = redis.call('ZSCORE', leases, id)
if expiry and tonumber(expiry) > ms then
  return {'TAKEN'}
end
redis.call('ZREM', ready, place)
local fence = lease(run, leases, id, owner, ms, lease_ms)
local events = slice(journal, 0, tonumber(ARGV[5]), tonumber(ARGV[6]))
-- An owner that takes its own run back was cut off, and lives.
local lost = state == RUNNING and held[6] ~= owner and 1 or 0
local signals = {}
if unheard(held[7], held[8]) > 0 then
  signals = slice(inbox, 0, tonumber(ARGV[5]), tonumber(ARGV[7]))
end
return {'CLAIMED', fence, tonumber(held[2]), lost, held[3], held[4], held[5],
  tonumber(held[8] or 0), signals, events}
