-- Returns reservations that are not settled, by when they expire: id, when that is, amounts.
-- KEYS  see accounts.lua
-- ARGV  whether those of calls under way (open) or those charged in full, behind which time (empty:
--       from the first) and id, at most this many
local kind, time, last, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local which = kind == 'open' and open or unsettled
local place = time == '' and 0 or redis.call('ZCOUNT', which, '-inf', '(' .. time)
local answer = {}
while #answer < most do
  local found = redis.call('ZRANGE', which, place, place + most - 1, 'WITHSCORES')
  for i = 1, #found, 2 do
    if #answer < most and (found[i + 1] ~= time or found[i] > last) then
      local reservation = split(redis.call('HGET', reservations, found[i]))
      answer[#answer + 1] = {found[i], found[i + 1],
        join(numbers(reservation, FIRST_AMOUNT, FIRST_AMOUNT + 3))}
    end
  end
  if #found < 2 * most then
    break
  end
  place = place + most
end
return answer
