-- Returns what stands behind a cursor: the rest of the text at it, then events.
-- KEYS  run, journal, text of the event at the cursor
-- ARGV  tenant, seq, offset, at most this many events, about this many bytes
local run, journal, text = unpack(KEYS)
local seq, offset = tonumber(ARGV[2]), tonumber(ARGV[3])
local most, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])

local held = redis.call('HMGET', run, 'tenant', 'state', 'seq', 'text')
if held[1] ~= ARGV[1] then
  return {'GONE'}
end
local last, length = tonumber(held[3]), redis.call('STRLEN', text)
if seq > last then
  return {'BEYOND'}
end
-- Text may be lost with the store's last moments; who has seen more of it than is left misses nothing.
local rest, started = '', ''
if offset < length then
  rest = redis.call('GETRANGE', text, offset, -1)
  started = redis.call('LINDEX', journal, seq - 1) or ''
end
local events = slice(journal, seq, most, bytes)
-- The length of the text of the last event; a run of an earlier version does not say it.
local last_text = tonumber(held[4] or 1)
return {'OK', tonumber(held[2]), last, last_text, digits(now()), started, rest, events}
