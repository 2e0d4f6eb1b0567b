-- Hands jobs that are due to a worker, and says in how many ms the next one is.
-- KEYS  records, due
-- ARGV  queue, lease in ms, at most this many, at most this many bytes of them beyond the first
local records, due = unpack(KEYS)
local queue, lease_ms, most, bytes = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local ms = now()
local claimed = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', digits(ms), 'LIMIT', 0, most)) do
  local held = redis.call('HGET', records, id)
  if #claimed > 0 and bytes < #held then
    break
  end
  bytes = bytes - #held
  local fence = redis.call('HINCRBY', records, '', 1)
  local attempt = tonumber(string.sub(held, 16, 28)) + 1
  local put, job = string.sub(held, 29, 41), string.sub(held, JOB)
  redis.call('HSET', records, id, queue .. SOMEBODY .. stamp(fence) .. stamp(attempt) .. put .. job)
  redis.call('ZADD', due, digits(ms + lease_ms), id)
  claimed[#claimed + 1] = {fence, attempt, put, job}
end
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
return {stamp(ms), claimed, first and math.max(tonumber(first) - ms, 0) or -1}
