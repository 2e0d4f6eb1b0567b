-- Sets aside what a call may spend, in all accounts that bound it or in none.
-- KEYS  see accounts.lua
-- ARGV  reservation, agent, model, tokens read at most, tokens written at least, at most, cost of
--       what is read (empty: not known), cost of a token written, turns, calls of tools,
--       ms until it is charged (0: spent at once), ms that what is spent at once is remembered,
--       ms that nobody need ask again for while there is no budget at all; then of each account its
--       key and the 4 quantities of the limit it brings along (all empty: the recorded one)...
local id, agent, model = ARGV[1], ARGV[2], ARGV[3]
local input, least, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local input_cost, token_cost = tonumber(ARGV[7]), tonumber(ARGV[8])
local turns, calls = tonumber(ARGV[9]), tonumber(ARGV[10])
local expiry_ms, live_ms, free_ms = tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13]
local FIRST, FIELDS = 14, 1 + QUANTITIES

local ms = now()
tidy(ms)
local before = redis.call('HGET', reservations, id)
if before then
  return {'GRANTED', split(before)[5]}
end

-- The accounts that bound the call: key, name, limit, what is spent and reserved.
local bounds = {}
for i = FIRST, #ARGV, FIELDS do
  local key = ARGV[i]
  if table.concat(ARGV, '', i + 1, i + QUANTITIES) ~= '' then
    bounds[#bounds + 1] = {key, key, {unpack(ARGV, i + 1, i + QUANTITIES)}, account(key)}
  else
    local recorded = redis.call('HGET', limits, key)
    if recorded then
      local limit = split(recorded)
      local name = current(key, limit, ms)
      if not name then
        return {'OVER', key, limit[7], digits(ms)}
      end
      bounds[#bounds + 1] = {key, name, limit, account(name)}
    end
  end
end
if #bounds == 0 then
  if redis.call('HLEN', limits) > 0 then
    return {'UNBOUNDED', 0}
  end
  redis.call('SET', free, '', 'PX', free_ms)
  return {'UNBOUNDED', free_ms}
end

local needed = {input + least, (input_cost or 0) + least * token_cost, turns, calls}
local written, measured, cut_by, verdict = most, false, {}, nil
for _, bound in ipairs(bounds) do
  local key, limit, held = bound[1], bound[3], bound[4]
  for q = 1, QUANTITIES do
    local most_of_it = tonumber(limit[q])
    if most_of_it and (needed[q] > 0 or (q <= 2 and most > 0)) then
      local spent, reserved = held[q], held[QUANTITIES + q]
      local said = {key, q, digits(most_of_it), digits(spent), digits(needed[q])}
      if q == 2 and not input_cost then
        return {'UNPRICED', unpack(said)}
      end
      if spent + needed[q] > most_of_it then
        return {'EXHAUSTED', unpack(said)}
      end
      local left = most_of_it - spent - reserved
      if needed[q] > left then
        verdict = verdict or {'BUSY', unpack(said)}
      elseif q <= 2 then
        measured = true
        local room = q == 1 and left - input
          or token_cost > 0 and math.floor((left - input_cost) / token_cost) or written
        if room < written then
          written, cut_by = room, said
        end
      end
    end
  end
end
if verdict then
  return verdict
end

local granted = measured and written or 0
local cost = (input_cost or 0) + written * token_cost
local reservation = {'open', today(ms), agent, model, granted, input + written, cost, turns, calls}
local amounts = numbers(reservation, FIRST_AMOUNT, FIRST_AMOUNT + 3)
for _, bound in ipairs(bounds) do
  reservation[#reservation + 1] = bound[2]
end
if expiry_ms > 0 then
  count(reservation, NOTHING, amounts, ms)
  redis.call('HSET', reservations, id, join(reservation))
  redis.call('ZADD', open, digits(ms + expiry_ms), id)
else
  count(reservation, amounts, NOTHING, ms)
  settle(id, reservation, ms, live_ms)
end
return {'GRANTED', digits(granted), unpack(cut_by)}
