-- Names the runs of a partition that may be claimed: expired ones first, then the oldest.
-- KEYS  ready, leases
-- ARGV  at most this many of each
local ready, leases = unpack(KEYS)
local ms = now()
return {
  redis.call('ZRANGEBYSCORE', leases, '-inf', digits(ms), 'WITHSCORES', 'LIMIT', 0, ARGV[1]),
  redis.call('ZRANGEBYSCORE', ready, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1]),
}
