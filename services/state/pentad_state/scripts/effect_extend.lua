-- Records a sign of life.
-- KEYS  effects of the run
-- ARGV  call, fence, hold in ms
local effects = KEYS[1]
local call, fence = ARGV[1], ARGV[2]

local held = redis.call('HGET', effects, 'fence:' .. call)
if not held then
  return 'GONE'
end
if held ~= fence then
  return 'STALE'
end
redis.call('HSET', effects, 'until:' .. call, digits(now() + tonumber(ARGV[3])))
return 'OK'
