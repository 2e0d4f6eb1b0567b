-- Gives runs back to the schedule, in the place that their age gives them.
-- KEYS  ready, leases, runs...
-- ARGV  an id and a fence for each run
local ready, leases = KEYS[1], KEYS[2]
for i = 3, #KEYS do
  local id, fence = ARGV[2 * i - 5], ARGV[2 * i - 4]
  local held = redis.call('HMGET', KEYS[i], 'state', 'fence', 'created')
  if tonumber(held[1] or '') == RUNNING and held[2] == fence then
    redis.call('HSET', KEYS[i], 'state', QUEUED)
    redis.call('HDEL', KEYS[i], 'owner')
    redis.call('ZREM', leases, id)
    redis.call('ZADD', ready, held[3], id)
    announce(id)
  end
end
return 'OK'
