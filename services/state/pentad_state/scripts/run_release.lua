-- Gives runs back to the schedule, ahead of those that are new.
-- KEYS  ready, leases, runs...
-- ARGV  an id and a fence for each run
local ready, leases = KEYS[1], KEYS[2]
for i = 3, #KEYS do
  local id, fence = ARGV[2 * i - 5], ARGV[2 * i - 4]
  local held = redis.call('HMGET', KEYS[i], 'state', 'fence', 'place', 'cancel', 'pause')
  if tonumber(held[1] or '') == RUNNING and held[2] == fence then
    redis.call('HSET', KEYS[i], 'state', QUEUED)
    redis.call('HDEL', KEYS[i], 'owner')
    redis.call('ZREM', leases, id)
    go_ahead(ready, held[3], held[4] or held[5])
    announce(id)
  end
end
return 'OK'
