-- Records the first revision of an agent. A revision is kept behind its time, 13 digits.
-- KEYS  agent, index
-- ARGV  name, request id, definition
local agent, index = unpack(KEYS)
local name, request, definition = unpack(ARGV)

local held = redis.call('HMGET', agent, 'request', 'first')
if held[1] then
  if request == '' or held[1] ~= request then
    return {'EXISTS'}
  end
  if string.sub(held[2], 14) ~= definition then
    return {'REUSED'}
  end
  return {'OK', 1, string.sub(held[2], 1, 13), held[2]}
end
local ms = stamp(now())
redis.call('HSET', agent, 'request', request, 'first', ms .. definition,
  'latest', 1, 'revision:1', ms .. definition)
redis.call('ZADD', index, 0, name)
return {'OK', 1, ms, ms .. definition}
