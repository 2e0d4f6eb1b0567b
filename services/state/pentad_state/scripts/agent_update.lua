-- Records a revision of an agent unless it changes nothing.
-- KEYS  agent
-- ARGV  expected revision (0: any), definition, revisions at most
local agent = KEYS[1]
local expected, definition, most = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])

local latest = redis.call('HGET', agent, 'latest')
if not latest then
  return {'GONE'}
end
latest = tonumber(latest)
local created = string.sub(redis.call('HGET', agent, 'first'), 1, 13)
local held = redis.call('HGET', agent, 'revision:' .. latest)
if string.sub(held, 14) == definition then
  return {'OK', latest, created, held}
end
if expected ~= 0 and expected ~= latest then
  return {'MISMATCH', latest}
end
local revision = latest + 1
local recorded = stamp(now()) .. definition
redis.call('HSET', agent, 'latest', revision, 'revision:' .. revision, recorded)
redis.call('HDEL', agent, 'revision:' .. (revision - most))
return {'OK', revision, created, recorded}
