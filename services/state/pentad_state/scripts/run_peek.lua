-- Names the runs of a partition that may be claimed: those whose lease has expired, and those that
-- wait, in the order of their turns. Those whose start has come line up first.
-- KEYS  ready, leases, due, turns, ended
-- ARGV  at most this many of each
local ready, leases, due, turns, ended = unpack(KEYS)
local ms = now()
for _, place in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', digits(ms), 'LIMIT', 0, 128)) do
  redis.call('ZREM', due, place)
  line_up(ready, turns, place)
end
local start = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
return {
  redis.call('ZRANGEBYSCORE', leases, '-inf', digits(ms), 'WITHSCORES', 'LIMIT', 0, ARGV[1]),
  redis.call('ZRANGEBYSCORE', ready, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1]),
  start and math.max(tonumber(start) - ms, 0) or false,
  redis.call('ZRANGEBYSCORE', ended, '-inf', digits(ms), 'LIMIT', 0, 64),
}
