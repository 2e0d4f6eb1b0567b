-- Stands before the scripts that append to a journal. Each event is kept behind its time (13 digits)
-- and the tag of the append that brought it (16 characters), so that a repeat is known for what it
-- is however late it comes.
-- KEYS  run, journal, text of the event before...
-- ARGV  id, fence, expected seq, tag, state, status, ms text lives, whether the events say that the
--       run was resumed (1), number of events, events...
local run, journal, text = unpack(KEYS, 1, 3)
local id, fence, tag, state = ARGV[1], ARGV[2], ARGV[4], tonumber(ARGV[5])
local FIRST, BESIDE = 10, 10 + tonumber(ARGV[9])
local count, expected = BESIDE - FIRST, tonumber(ARGV[3])

-- What the append meets instead of taking place; nothing if it may.
local function obstacle()
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
end

-- Journals the events; returns what the append gives: with the bytes of text that stand before them.
local function record(ms, closed)
  for i = FIRST, BESIDE - 1 do
    redis.call('RPUSH', journal, stamp(ms) .. tag .. ARGV[i])
  end
  local spoken = redis.call('STRLEN', text)
  redis.call('HSET', run, 'seq', expected + count, 'status', ARGV[6], 'text', 0)
  redis.call('PEXPIRE', text, ARGV[7])
  if ARGV[8] == '1' then
    redis.call('HDEL', run, 'resumed')
  end
  announce_growth(id, expected + count, 0, closed)
  return {'OK', stamp(ms), spoken}
end
