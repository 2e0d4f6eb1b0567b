-- Extends the leases that are held still.
-- KEYS  leases, runs...
-- ARGV  lease in ms, then an id and a fence for each run
local leases = KEYS[1]
local expiry = digits(now() + tonumber(ARGV[1]))
local verdicts = {}
for i = 2, #KEYS do
  local id, fence = ARGV[2 * i - 2], ARGV[2 * i - 1]
  local held = redis.call('HMGET', KEYS[i], 'state', 'fence', 'cancel', 'pause', 'told',
    'heard')
  if tonumber(held[1] or '') == RUNNING and held[2] == fence then
    redis.call('ZADD', leases, expiry, id)
    verdicts[i - 1] = {'HELD', held[3], held[4], unheard(held[5], held[6])}
  else
    verdicts[i - 1] = {'LOST'}
  end
end
return verdicts
