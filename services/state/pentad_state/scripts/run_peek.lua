-- Names the runs of a partition that may be claimed: those whose lease has expired, and those that
-- wait, in the order of their turns. Those whose start has come line up first; those whose time to
-- go on has come go ahead.
-- KEYS  ready, leases, due, turns, ended, wakes
-- ARGV  at most this many of each
local ready, leases, due, turns, ended, wakes = unpack(KEYS)
local ms = now()

-- Takes what is due out of an index, a bounded number, and returns when its next is.
local function pass_on(index, to)
  local next_ms = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  if next_ms and tonumber(next_ms) <= ms then
    for _, place in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', digits(ms), 'LIMIT', 0, 128)) do
      redis.call('ZREM', index, place)
      to(place)
    end
    next_ms = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')[2]
  end
  return tonumber(next_ms or math.huge)
end

local next_ms = math.min(
  pass_on(due, function(place) line_up(ready, turns, place) end),
  pass_on(wakes, function(place) go_ahead(ready, place) end)
)
return {
  redis.call('ZRANGEBYSCORE', leases, '-inf', digits(ms), 'WITHSCORES', 'LIMIT', 0, ARGV[1]),
  redis.call('ZRANGEBYSCORE', ready, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1]),
  next_ms < math.huge and math.max(next_ms - ms, 0) or false,
  redis.call('ZRANGEBYSCORE', ended, '-inf', digits(ms), 'LIMIT', 0, 64),
}
