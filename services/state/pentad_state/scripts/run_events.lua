-- Returns a part of a journal.
-- KEYS  run, journal
-- ARGV  seq, at most this many events, at most this many bytes of them
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
return slice(KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
