-- Keeps spans of one trace; one that is kept already, or has no room, is dropped.
-- KEYS  trace
-- ARGV  ms it lives, spans at most, then id and span...
local trace = KEYS[1]
local room = tonumber(ARGV[2]) - redis.call('HLEN', trace)
for i = 3, #ARGV, 2 do
  if room > 0 then
    room = room - redis.call('HSETNX', trace, ARGV[i], ARGV[i + 1])
  end
end
redis.call('PEXPIRE', trace, ARGV[1])
return 'OK'
