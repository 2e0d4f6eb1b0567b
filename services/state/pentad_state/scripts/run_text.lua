-- Keeps pieces of the text of a turn in progress. Once the next event is journalled the text is
-- final, so that every tail sees the same.
-- KEYS  run, text
-- ARGV  id, fence, seq of the turn's start, ms it lives, bytes at most, then offset and piece...
local run, text = unpack(KEYS)
local id, fence, seq, live_ms, limit = unpack(ARGV, 1, 5)

local held = redis.call('HMGET', run, 'state', 'fence', 'seq')
if tonumber(held[1] or '') ~= RUNNING or held[2] ~= fence or held[3] ~= seq then
  return {'STALE'}
end
local length = redis.call('STRLEN', text)
local before = length
for i = 6, #ARGV, 2 do
  local offset, piece = tonumber(ARGV[i]), ARGV[i + 1]
  -- Anything else is kept already, or has a gap before it.
  if offset == length and length + #piece <= tonumber(limit) then
    length = redis.call('APPEND', text, piece)
  end
end
if length > before then
  redis.call('PEXPIRE', text, live_ms)
  redis.call('HSET', run, 'text', length)
  announce_growth(id, seq, length)
end
return {'OK', before, length, digits(now())}
