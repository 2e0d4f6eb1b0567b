-- Records a sign of life of an instance, behind the times of its first and its last, 13 digits each.
-- KEYS  instances, expiries
-- ARGV  id, ms it lives, instances at most, definition
local instances, expiries = unpack(KEYS)
local id, live_ms, most, definition = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local function forget(ids)
  if #ids > 0 then
    redis.call('HDEL', instances, unpack(ids))
    redis.call('ZREM', expiries, unpack(ids))
  end
end

local ms = now()
forget(redis.call('ZRANGEBYSCORE', expiries, '-inf', ms))
local first = stamp(ms)
local held = redis.call('HGET', instances, id)
if held then
  first = string.sub(held, 1, 13)
elseif redis.call('HLEN', instances) >= most then
  forget(redis.call('ZRANGE', expiries, 0, 0))
end
redis.call('HSET', instances, id, first .. stamp(ms) .. definition)
redis.call('ZADD', expiries, digits(ms + live_ms), id)
-- Nobody may ever ask again, so the keys go with the last instance.
local last = redis.call('ZREVRANGE', expiries, 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', instances, digits(tonumber(last[2])))
redis.call('PEXPIREAT', expiries, digits(tonumber(last[2])))
return 'OK'
