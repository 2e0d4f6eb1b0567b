-- Returns rows of usage behind a place, in order: place and sums of each.
-- KEYS  see accounts.lua
-- ARGV  first place (with its bracket), last place, at most this many
local found = redis.call('ZRANGEBYLEX', rows, ARGV[1], ARGV[2], 'LIMIT', 0, tonumber(ARGV[3]))
if #found == 0 then
  return {}
end
local sums, answer = redis.call('HMGET', usage, unpack(found)), {}
for i, row in ipairs(found) do
  answer[#answer + 1] = row
  answer[#answer + 1] = sums[i]
end
return answer
