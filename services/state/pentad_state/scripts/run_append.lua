-- Adds events to a journal. Each is kept behind its time (13 digits) and the tag of the append
-- that brought it (16 characters), so that a repeat is known for what it is however late it comes.
-- KEYS  run, journal, leases, text of the event before, effects
-- ARGV  id, fence, expected seq, tag, state, status, retention in ms, ms text lives, events...
local run, journal, leases, text, effects = unpack(KEYS)
local id, fence, tag, status = ARGV[1], ARGV[2], ARGV[4], ARGV[6]
local expected, state = tonumber(ARGV[3]), tonumber(ARGV[5])
local retention_ms, text_ms = tonumber(ARGV[7]), ARGV[8]
local count = #ARGV - 8

local held = redis.call('HMGET', run, 'state', 'fence', 'seq')
if not held[1] then
  return {'GONE'}
end
local seq = tonumber(held[3])
if seq > expected then
  local kept = redis.call('LRANGE', journal, expected, expected + count - 1)
  if kept[1] and string.sub(kept[1], 14, 29) == tag then
    return {'REPEATED', kept}
  end
end
if tonumber(held[1]) ~= RUNNING or held[2] ~= fence then
  return {'STALE'}
end
if seq ~= expected then
  return {'CONFLICT', seq}
end

local ms = now()
for i = 9, #ARGV do
  redis.call('RPUSH', journal, stamp(ms) .. tag .. ARGV[i])
end
redis.call('HSET', run, 'seq', seq + count, 'status', status)
redis.call('PEXPIRE', text, text_ms)
if state > RUNNING then
  redis.call('HSET', run, 'state', state, 'ended', digits(ms))
  redis.call('ZREM', leases, id)
  for _, key in ipairs({run, journal, effects}) do
    redis.call('PEXPIRE', key, digits(retention_ms))
  end
end
redis.call('PUBLISH', 'pentad:runs', id)
return {'OK', stamp(ms)}
