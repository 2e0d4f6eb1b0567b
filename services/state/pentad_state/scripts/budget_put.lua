-- Sets the budget of an account; what is spent of it stays.
-- KEYS  see accounts.lua
-- ARGV  key, 4 quantities (empty: not bounded), zone (empty: it has no days), record, most budgets
local key, zone, record, most = ARGV[1], ARGV[6], ARGV[7], tonumber(ARGV[8])

local ms = now()
tidy(ms)
local before = redis.call('HGET', limits, key)
if not before and redis.call('HLEN', limits) >= most then
  return {'FULL'}
end
local limit = before and split(before) or {}
local day, over = limit[5] or '', limit[6] or ''
if limit[7] ~= zone then
  -- Whose day it is there is found out when it matters, by the store's time.
  day, over = '', zone == '' and '' or '0'
end
redis.call('HSET', limits, key, join({ARGV[2], ARGV[3], ARGV[4], ARGV[5], day, over, zone}))
local stamps = redis.call('HGET', records, key)
local created = stamps and string.sub(stamps, 1, 13) or stamp(ms)
redis.call('HSET', records, key, created .. stamp(ms) .. record)
redis.call('ZADD', index, 0, key)
return {'OK', math.max(redis.call('PTTL', free), 0)}
