-- Lets the holder of a call whose outcome was unknown run it, for it did not take place.
-- KEYS  effects of the run
-- ARGV  call, fence, hold in ms
local effects = KEYS[1]
local call, fence = ARGV[1], ARGV[2]

local held = redis.call('HMGET', effects, 'state:' .. call, 'fence:' .. call)
if not held[1] then
  return {'GONE'}
end
if held[1] == 'done' or held[2] ~= fence then
  return {'STALE'}
end
redis.call('HSET', effects, 'state:' .. call, 'running',
  'until:' .. call, digits(now() + tonumber(ARGV[3])))
-- A repeat allows no attempt but the one that it allowed before.
local made = held[1] == 'unknown' and 1 or 0
return {'OK', redis.call('HINCRBY', effects, 'attempt:' .. call, made)}
