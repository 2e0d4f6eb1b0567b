-- Lifts a budget. Its account stays, for what was reserved in it is to be settled.
-- KEYS  see accounts.lua
-- ARGV  key
redis.call('HDEL', limits, ARGV[1])
redis.call('HDEL', records, ARGV[1])
redis.call('ZREM', index, ARGV[1])
return 'OK'
