-- Adds an event to a topic, unless it is there, and nudges the jobs of the topic's triggers. Each is
-- kept behind its time (13 digits) and the tag of its id (16 characters).
-- KEYS  topic, log, tags, triggers, index, expiries, records, dues of each queue...
-- ARGV  name, tag, event, at most so many events, at most so many bytes of them, ms they are kept
local topic, log, tags, triggers, index, expiries, records = unpack(KEYS, 1, 7)
local dues = {unpack(KEYS, 8)}
local name, tag, event = ARGV[1], ARGV[2], ARGV[3]
local most, bytes, live_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local ms = now()
local known = redis.call('HGET', tags, tag)
if known then
  local held = redis.call('HMGET', topic, 'created', 'seq')
  local place = tonumber(known) - tonumber(held[2]) - 1
  return {'KNOWN', tonumber(held[1]), tonumber(known), redis.call('LINDEX', log, place)}
end

-- Lets go of what is too old or too much: of a few with each event, which is more than comes.
local function trim()
  for _ = 1, 8 do
    local first = redis.call('LINDEX', log, 0)
    local total = tonumber(redis.call('HGET', topic, 'bytes'))
    local aged = tonumber(string.sub(first, 1, 13)) < ms - live_ms
    if not aged and redis.call('LLEN', log) <= most and total <= bytes then
      return
    end
    redis.call('LPOP', log)
    redis.call('HDEL', tags, string.sub(first, 14, 29))
    redis.call('HINCRBY', topic, 'bytes', -#first)
  end
end

local kept = stamp(ms) .. tag .. event
local seq = redis.call('HINCRBY', topic, 'seq', 1)
redis.call('HSETNX', topic, 'created', digits(ms))
if redis.call('EXISTS', log) == 0 then
  redis.call('HSET', topic, 'bytes', 0)
end
redis.call('HSET', topic, 'published', digits(ms))
redis.call('HINCRBY', topic, 'bytes', #kept)
redis.call('RPUSH', log, kept)
redis.call('HSET', tags, tag, seq)
trim()
redis.call('PEXPIRE', log, digits(live_ms))
redis.call('PEXPIRE', tags, digits(live_ms))
redis.call('ZADD', index, 0, name)

local jobs = redis.call('SMEMBERS', triggers)
if #jobs == 0 then
  redis.call('PEXPIRE', topic, digits(live_ms))
  redis.call('ZADD', expiries, digits(ms + live_ms), name)
end
prune(index, expiries, ms)
for _, id in ipairs(jobs) do
  local held = redis.call('HGET', records, id)
  if held then
    nudge_job(records, dues, id, held, ms)
  end
end
redis.call('PUBLISH', 'pentad:topics', topic)
return {'ADDED', tonumber(redis.call('HGET', topic, 'created')), seq, kept}
