-- Forgets an instance.
-- KEYS  instances, expiries
-- ARGV  id
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 'OK'
