-- Says of each queue of a partition in how many ms the next of its jobs is due.
-- KEYS  dues of each queue...
local ms = now()
local found = {}
for i, due in ipairs(KEYS) do
  local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
  found[i] = first and math.max(tonumber(first) - ms, 0) or -1
end
return found
