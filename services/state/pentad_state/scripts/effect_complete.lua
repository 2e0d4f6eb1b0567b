-- Records how a call ended; the first outcome stays.
-- KEYS  effects of the run
-- ARGV  call, fence, outcome
local effects = KEYS[1]
local call, fence, outcome = unpack(ARGV)

local held = redis.call('HMGET', effects, 'state:' .. call, 'fence:' .. call, 'outcome:' .. call)
if not held[1] then
  return {'GONE'}
end
if held[1] == 'done' then
  return {'OK', held[3]}
end
if held[2] ~= fence then
  return {'STALE'}
end
redis.call('HSET', effects, 'state:' .. call, 'done', 'outcome:' .. call, outcome)
return {'OK', outcome}
