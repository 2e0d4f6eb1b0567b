-- Adds events to a journal. Each is kept behind its time (13 digits) and the tag of the append
-- that brought it (16 characters), so that a repeat is known for what it is however late it comes.
-- KEYS  run, journal, leases, text of the event before, effects, ready, ended
-- ARGV  id, fence, expected seq, tag, state, status, retention in ms, ms text lives,
--       whether the events say that the run was resumed (1), its doubts, events...
local run, journal, leases, text, effects, ready, ended = unpack(KEYS)
local id, fence, tag, status = ARGV[1], ARGV[2], ARGV[4], ARGV[6]
local expected, state = tonumber(ARGV[3]), tonumber(ARGV[5])
local retention_ms, text_ms = tonumber(ARGV[7]), ARGV[8]
local says_resumed, doubts = ARGV[9] == '1', ARGV[10]
local FIRST = 11
local count = #ARGV - FIRST + 1

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

-- Lets the run go from its owner's hands, to wait until somebody resumes it. What was asked of it
-- meanwhile, and did not reach its owner, is not to be slept through.
local function rest()
  local asked = redis.call('HMGET', run, 'cancel', 'withdrawn', 'place')
  local cancel, withdrawn, place = unpack(asked, 1, 3)
  redis.call('HDEL', run, 'owner', 'pause', 'withdrawn')
  redis.call('HSET', run, 'doubts', doubts)
  -- It may rest for longer than a ledger lives by itself.
  redis.call('PERSIST', effects)
  if doubts ~= '' then
    withdrawn = nil  -- it needs an answer of its own
  end
  if withdrawn then
    redis.call('HSET', run, 'resumed', withdrawn)
  end
  if cancel or withdrawn then
    redis.call('HSET', run, 'state', QUEUED)
    go_ahead(ready, place, cancel)
    announce(id)
  else
    redis.call('HSET', run, 'state', PAUSED)
  end
end

local function finish(ms)
  local named = redis.call('HMGET', run, 'created', 'tenant')
  redis.call('HSET', run, 'state', state, 'ended', digits(ms))
  for _, key in ipairs({run, journal, effects}) do
    redis.call('PEXPIRE', key, digits(retention_ms))
  end
  redis.call('ZADD', ended, digits(ms + retention_ms), stamp(named[1]) .. id .. named[2])
end

local ms, closed = now(), state > RUNNING and state ~= PAUSED
for i = FIRST, #ARGV do
  redis.call('RPUSH', journal, stamp(ms) .. tag .. ARGV[i])
end
local spoken = redis.call('STRLEN', text)
redis.call('HSET', run, 'seq', seq + count, 'status', status, 'text', 0)
redis.call('PEXPIRE', text, text_ms)
if says_resumed then
  redis.call('HDEL', run, 'resumed')
end
if state > RUNNING then
  redis.call('ZREM', leases, id)
  if state == PAUSED then
    rest()
  else
    finish(ms)
  end
end
announce_growth(id, seq + count, 0, closed)
return {'OK', stamp(ms), spoken}
