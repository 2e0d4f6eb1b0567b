-- Keeps spans of some traces, each behind those that it holds; for what finds no room they are
-- dropped.
-- KEYS  traces...
-- ARGV  ms they live, bytes of a trace at most, then the spans of each
local live_ms, limit = ARGV[1], tonumber(ARGV[2])
for i, trace in ipairs(KEYS) do
  local spans = ARGV[i + 2]
  if redis.call('STRLEN', trace) + #spans <= limit then
    redis.call('APPEND', trace, spans)
  end
  redis.call('PEXPIRE', trace, live_ms)
end
return 'OK'
