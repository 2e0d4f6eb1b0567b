-- Returns the oldest messages between two places, behind the place of the first that is kept.
-- KEYS  session, messages
-- ARGV  first, last, at most this many
local session, messages = unpack(KEYS)
local first, last = tonumber(ARGV[1]), tonumber(ARGV[2])

local gone = tonumber(redis.call('HGET', session, 'seq') or '0') - redis.call('LLEN', messages)
first = math.max(first, gone + 1)
last = math.min(last, first + tonumber(ARGV[3]) - 1)
if last < first then
  return {first, {}}
end
return {first, redis.call('LRANGE', messages, first - gone - 1, last - gone - 1)}
