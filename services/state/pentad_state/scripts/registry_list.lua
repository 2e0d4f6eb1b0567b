-- Returns the instances that are alive.
-- KEYS  instances, expiries
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. digits(now()), '+inf')
if #ids == 0 then
  return {}
end
return redis.call('HMGET', KEYS[1], unpack(ids))
