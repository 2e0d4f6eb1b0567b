-- Begins the next day of a budget, unless it has begun.
-- KEYS  see accounts.lua
-- ARGV  key, zone, day, when that day is over in ms
local key, zone, day, over = unpack(ARGV)
local recorded = redis.call('HGET', limits, key)
local limit = recorded and split(recorded)
if limit and limit[7] == zone and limit[6] ~= '' and tonumber(over) > tonumber(limit[6]) then
  limit[5], limit[6] = day, over
  redis.call('HSET', limits, key, join(limit))
end
return 'OK'
