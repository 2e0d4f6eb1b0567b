-- Puts what a call came to in the place of what was reserved for it, and enters it into the usage.
-- KEYS  see accounts.lua
-- ARGV  reservation, agent, model, outcome (spent, unused, unknown), tokens read, written, cached,
--       cost (empty: not known), calls of tools asked for, ms that the outcome is remembered
local id, agent, model, outcome = unpack(ARGV, 1, 4)
local read, written, cached = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local cost, calls, live_ms = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])

local ms = now()
tidy(ms)
local held = redis.call('HGET', reservations, id)
local reservation = held and split(held) or {'new', today(ms), agent, model, 0, 0, 0, 0, 0}
local state = reservation[1]
if state == 'settled' or (state ~= 'open' and outcome ~= 'spent' and outcome ~= 'unused') then
  return 'OK'
end
if state == 'new' and outcome == 'unused' then
  return 'OK'
end
if outcome == 'unknown' then
  charge(id, reservation, ms)
  return 'OK'
end

local amounts = numbers(reservation, FIRST_AMOUNT, FIRST_AMOUNT + 3)
if state == 'open' then
  count(reservation, NOTHING, negative(amounts), ms)
elseif state == 'unsettled' then
  count(reservation, negative(amounts), NOTHING, ms)
  enter_unsettled(reservation, -1)
end
if outcome == 'spent' then
  -- A cost that nobody knows after all is no less than what it was thought to be at most.
  count(reservation, {read + written, cost or amounts[2], amounts[3], amounts[4]}, NOTHING, ms)
  enter(reservation[2], reservation[3], reservation[4],
    {1, calls, read, written, cached, cost or amounts[2], cost and 0 or 1, 0, 0, 0})
end
settle(id, reservation, ms, live_ms)
return 'OK'
