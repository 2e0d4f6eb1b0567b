-- Returns one revision of an agent.
-- KEYS  agent
-- ARGV  revision (0: the latest)
local agent = KEYS[1]
local revision = ARGV[1]
if revision == '0' then
  revision = redis.call('HGET', agent, 'latest')
end
local held = redis.call('HMGET', agent, 'first', 'revision:' .. (revision or '0'))
if not held[2] then
  return {'GONE'}
end
return {'OK', tonumber(revision), string.sub(held[1], 1, 13), held[2]}
