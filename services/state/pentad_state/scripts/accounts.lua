-- Stands before every script of budgets. All that a tenant may spend, is about to and did is kept
-- together, as texts whose parts PART divides. Quantities stand in this order: tokens, cost, turns,
-- calls of tools. A cost in 10^-9 dollars is exact up to 2^53, which is 9 million of them.
--
-- limits        of each account that has a budget: 4 quantities, its day, when that is over, its zone
-- accounts      4 quantities spent, 4 reserved
-- reservations  state, day, agent, model, tokens granted, 4 quantities, accounts...
-- open          reservations by when they are charged in full
-- unsettled     those that were, by when they are forgotten
-- settled       those that are over, likewise
-- usage         of each day, agent and model, see `enter`; `rows` holds the same in order
-- free          says until when somebody counts on there being no budget at all
local limits, records, index, accounts, account_ends, usage, rows, free = unpack(KEYS, 1, 8)
local reservations, open, unsettled, settled = unpack(KEYS, 9, 12)
local PART = '\31'
local DAY_MS = 24 * 3600 * 1000
local RETENTION_MS = 400 * DAY_MS
local UNSETTLED_MS = 7 * DAY_MS
local QUANTITIES = 4
local FIRST_AMOUNT, FIRST_ACCOUNT = 6, 10

local function split(text)
  local parts = {}
  for part in string.gmatch(text .. PART, '([^' .. PART .. ']*)' .. PART) do
    parts[#parts + 1] = part
  end
  return parts
end

local function join(parts)
  local texts = {}
  for i, part in ipairs(parts) do
    texts[i] = type(part) == 'number' and digits(part) or part
  end
  return table.concat(texts, PART)
end

local function numbers(parts, first, last)
  local found = {}
  for i = first, last do
    found[#found + 1] = tonumber(parts[i])
  end
  return found
end

local function account(name)
  local held = redis.call('HGET', accounts, name)
  return held and numbers(split(held), 1, 2 * QUANTITIES) or {0, 0, 0, 0, 0, 0, 0, 0}
end

local function keep_account(name, held, ms)
  redis.call('HSET', accounts, name, join(held))
  redis.call('ZADD', account_ends, digits(ms + RETENTION_MS), name)
end

-- Adds to what is spent and to what is reserved of each account of a reservation.
local function count(reservation, spent, reserved, ms)
  for i = FIRST_ACCOUNT, #reservation do
    local held = account(reservation[i])
    for q = 1, QUANTITIES do
      held[q] = held[q] + spent[q]
      held[QUANTITIES + q] = held[QUANTITIES + q] + reserved[q]
    end
    keep_account(reservation[i], held, ms)
  end
end

local function negative(amounts)
  return {-amounts[1], -amounts[2], -amounts[3], -amounts[4]}
end

local NOTHING = {0, 0, 0, 0}

-- Adds to the usage of a day, an agent and a model: turns, calls of tools, tokens read, written and
-- cached, cost, turns without a price; then turns that are not settled, their tokens and their cost.
local function enter(day, agent, model, added)
  local row = join({day, agent, model})
  local held = redis.call('HGET', usage, row)
  local sums = held and numbers(split(held), 1, #added) or {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  for i, number in ipairs(added) do
    sums[i] = sums[i] + number
  end
  redis.call('HSET', usage, row, join(sums))
  redis.call('ZADD', rows, 0, row)
end

-- Enters a reservation among what nobody knows, or takes it out again with a sign of -1.
local function enter_unsettled(reservation, sign)
  local amounts = numbers(reservation, FIRST_AMOUNT, FIRST_AMOUNT + 1)
  enter(reservation[2], reservation[3], reservation[4],
    {0, 0, 0, 0, 0, 0, 0, sign, sign * amounts[1], sign * amounts[2]})
end

local function settle(id, reservation, ms, live_ms)
  reservation[1] = 'settled'
  redis.call('HSET', reservations, id, join(reservation))
  redis.call('ZREM', open, id)
  redis.call('ZREM', unsettled, id)
  redis.call('ZADD', settled, digits(ms + live_ms), id)
end

-- Charges a reservation in full: the call was made, or may have been, and nobody knows more.
local function charge(id, reservation, ms)
  local amounts = numbers(reservation, FIRST_AMOUNT, FIRST_AMOUNT + 3)
  count(reservation, amounts, negative(amounts), ms)
  enter_unsettled(reservation, 1)
  reservation[1] = 'unsettled'
  redis.call('HSET', reservations, id, join(reservation))
  redis.call('ZREM', open, id)
  redis.call('ZADD', unsettled, digits(ms + UNSETTLED_MS), id)
end

local function today(ms)
  return string.format('%06d', math.floor(ms / DAY_MS))
end

local function forget(things, ends, ms)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', ms, 'LIMIT', 0, 16)) do
    redis.call('HDEL', things, name)
    redis.call('ZREM', ends, name)
  end
end

-- Charges what has expired and forgets what is old: a few of each, so that no call pays for many.
local function tidy(ms)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', open, '-inf', ms, 'LIMIT', 0, 16)) do
    charge(id, split(redis.call('HGET', reservations, id)), ms)
  end
  forget(reservations, unsettled, ms)
  forget(reservations, settled, ms)
  forget(accounts, account_ends, ms)
  local first = '(' .. today(ms - RETENTION_MS)
  for _, row in ipairs(redis.call('ZRANGEBYLEX', rows, '-', first, 'LIMIT', 0, 16)) do
    redis.call('HDEL', usage, row)
    redis.call('ZREM', rows, row)
  end
end

-- Returns the name of the account that a budget counts in now; nothing where its day is over.
local function current(key, limit, ms)
  if limit[6] == '' then
    return key
  end
  return ms < tonumber(limit[6]) and key .. '@' .. limit[5] or nil
end
