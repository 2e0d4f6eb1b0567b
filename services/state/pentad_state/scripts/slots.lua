-- What scripts of sessions share about who is at one. `slot` says which run is active, since when,
-- why it is to give way (`fate`, the digit of a policy), and, in `kept`, which runs gave way whose
-- work is not appended yet: ids with a space behind each. `line` holds those that wait: the digit of
-- the policy and the id of each. Who wants the active one out of the way stands ahead of the others,
-- and behind those who came with the same wish before, so that whenever one of them is first in line
-- the active one has been asked to end.
local REJECT, INTERRUPT, ROLL_BACK = '2', '3', '4'
local KEPT = 16 * 29

-- What stands in a job that was prepared for any run: the one that it is about, and another.
local ABOUT, BY = string.rep('\1', 28), string.rep('\2', 28)

local function wants_way(entry)
  local policy = entry and string.sub(entry, 1, 1)
  return policy == INTERRUPT or policy == ROLL_BACK
end

-- Puts a job that was prepared; `orders` are where jobs are kept and the two that may be put.
local function order(orders, kind, about, by, ms)
  local job = string.gsub(orders[kind], ABOUT, about)
  job = string.gsub(job, BY, by)
  put_jobs(orders.records, orders.dues, {'1', 'session/' .. kind .. '/' .. about, ms, '0', job}, ms)
end

-- Has the active run end if the first in line wants it to, and it was not asked yet.
local function clear_way(slot, line, orders, ms)
  local first = redis.call('LINDEX', line, 0)
  if wants_way(first) and redis.call('HSETNX', slot, 'fate', string.sub(first, 1, 1)) == 1 then
    order(orders, 'cancel', redis.call('HGET', slot, 'active'), string.sub(first, 2), ms)
  end
end

-- Makes a run the active one.
local function take_slot(slot, run, ms)
  redis.call('HSET', slot, 'active', run, 'since', digits(ms))
  redis.call('HDEL', slot, 'fate')
end

-- Returns what a line holds of a run; nil if it does not wait there.
local function in_line(line, run)
  for _, entry in ipairs(redis.call('LRANGE', line, 0, -1)) do
    if string.sub(entry, 2) == run then
      return entry
    end
  end
end

-- Takes a run out of its session or the line, and lets the next one in. What it did is to be kept
-- when it gave way to one that wants that, unless it has its answer.
local function leave_slot(slot, line, orders, run, answered, ms)
  local held = redis.call('HMGET', slot, 'active', 'fate', 'kept')
  if held[1] ~= run then
    local entry = in_line(line, run)
    if entry then
      redis.call('LREM', line, 1, entry)
    end
    return
  end
  if held[2] == INTERRUPT and not answered then
    redis.call('HSET', slot, 'kept', string.sub((held[3] or '') .. run .. ' ', -KEPT))
  end
  local entry = redis.call('LPOP', line)
  if not entry then
    redis.call('HDEL', slot, 'active', 'since', 'fate')
    return
  end
  local next = string.sub(entry, 2)
  take_slot(slot, next, ms)
  order(orders, 'tell', next, '', ms)
  clear_way(slot, line, orders, ms)
end
