-- Returns events of a topic behind a place: when the topic began, its last place, the place before
-- the oldest event that is kept, and events.
-- KEYS  topic, log
-- ARGV  when the topic began as the place knows it (0: nothing of it), place (empty: the end; 0: the
--       oldest), at most this many events, at most this many bytes of them
local topic, log = KEYS[1], KEYS[2]
local held = redis.call('HMGET', topic, 'created', 'seq')
if not held[1] then
  return {0, 0, 0, {}}
end
local created, seq = tonumber(held[1]), tonumber(held[2])
local before = seq - redis.call('LLEN', log)
local after = tonumber(ARGV[2] == '' and seq or ARGV[2])
local mine = ARGV[1] == '0' or tonumber(ARGV[1]) == created
if not mine or (after > 0 and after < before) then
  return {created, seq, before, false}
end
local skipped = math.max(after - before, 0)
return {created, seq, before, slice(log, skipped, tonumber(ARGV[3]), tonumber(ARGV[4]))}
