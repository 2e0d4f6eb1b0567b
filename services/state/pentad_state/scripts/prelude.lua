-- Stands before every script. States of a run are those of RunStatus.State.
local QUEUED, RUNNING, PAUSED, WAITING = 1, 2, 6, 7

-- The store's time in milliseconds: the only clock that durable decisions see.
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A number as text; Lua itself would write a large one with an exponent.
local function digits(number)
  return string.format('%.0f', number)
end

-- A time as 13 digits, so that the order of texts is that of times.
local function stamp(ms)
  return string.format('%013.0f', ms)
end

-- Takes the things whose time is over out of an index: a few on each call, so that an index
-- stays as long as what it names and no call pays for many.
local function prune(index, expiries, ms)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', ms, 'LIMIT', 0, 16)) do
    redis.call('ZREM', index, member)
    redis.call('ZREM', expiries, member)
  end
end

-- Returns events behind a place: at most so many, and at least one but no more than so many bytes.
local function slice(journal, seq, most, bytes)
  local events = {}
  while #events < most do
    local some = redis.call('LRANGE', journal, seq + #events, seq + #events + 7)
    for _, event in ipairs(some) do
      bytes = bytes - #event
      if #events == most or (#events > 0 and bytes < 0) then
        return events
      end
      events[#events + 1] = event
    end
    if #some < 8 then
      break
    end
  end
  return events
end

-- A run's place in the schedule is a text: its level (2 digits, a lower one goes first), since when
-- it waits (13 digits), its id (28 characters), its tenant. In `due` a run waits for its start. In
-- `ready` its score is its level times LEVEL, plus its turn; of one turn the oldest goes first.
local LEVEL = 2 ^ 45

local function base(place)
  return tonumber(string.sub(place, 1, 2)) * LEVEL
end

-- Gives a run its turn among those of its level: behind its tenant's last one, and no earlier than
-- behind the turn that is next, so that tenants take turns however much each of them brings.
local function line_up(ready, turns, place)
  local from, to = '(' .. digits(base(place)), '(' .. digits(base(place) + LEVEL)
  local tenant = string.sub(place, 1, 2) .. string.sub(place, 44)
  local head = redis.call('ZRANGEBYSCORE', ready, from, to, 'WITHSCORES', 'LIMIT', 0, 1)[2]
  -- Turns that are over say nothing any more; without them `turns` is as long as tenants wait.
  redis.call('ZREMRANGEBYSCORE', turns, from, head or to)
  local last = redis.call('ZSCORE', turns, tenant) or head or base(place)
  local turn = digits(tonumber(last) + 1)
  redis.call('ZADD', turns, turn, tenant)
  redis.call('ZADD', ready, turn, place)
end

-- Puts a run ahead of those that were never begun; one that is asked to stop, ahead of all.
local function go_ahead(ready, place, asked)
  redis.call('ZADD', ready, asked and 0 or digits(base(place)), place)
end

-- Says that the partition of a run has work.
local function announce(id)
  redis.call('PUBLISH', 'pentad:work', 'ready ' .. string.sub(id, 1, 2))
end

-- Says something about a run to its owner.
local function say(what, id, owner)
  redis.call('PUBLISH', 'pentad:work', what .. ' ' .. id .. ' ' .. owner)
end

-- Says how far a run has come: its last event, the bytes of text behind that, whether it has ended.
local function announce_growth(id, seq, text, closed)
  redis.call('PUBLISH', 'pentad:runs', id .. ' ' .. seq .. ' ' .. text .. (closed and ' 1' or ' 0'))
end

-- Lets a run wait for its start, or, when that has come, for its turn.
local function schedule(ready, due, turns, id, place, ms)
  local start = tonumber(string.sub(place, 3, 15))
  if start > ms then
    redis.call('ZADD', due, digits(start), place)
  else
    line_up(ready, turns, place)
  end
  announce(id)
end

-- Lets a run that nobody holds go on, ahead of those that were never begun.
local function call_up(run, ready, wakes, id, place, asked)
  redis.call('HSET', run, 'state', QUEUED)
  redis.call('ZREM', wakes, place)
  go_ahead(ready, place, asked)
  announce(id)
end

-- Tells a run something, which is kept behind its time (13 digits) until the run's journal holds
-- it: `told` counts what a run was ever told, `heard` what of that is journalled. Its owner hears
-- it at once; a run that waits goes on.
local function tell(run, inbox, ready, wakes, id, event, ms)
  redis.call('RPUSH', inbox, stamp(ms) .. event)
  redis.call('HINCRBY', run, 'told', 1)
  local held = redis.call('HMGET', run, 'state', 'owner', 'place')
  local state = tonumber(held[1])
  if state == WAITING then
    call_up(run, ready, wakes, id, held[3])
  elseif state == RUNNING then
    say('signal', id, held[2])
  end
end

-- How many things a run was told that its journal does not hold yet.
local function unheard(told, heard)
  return tonumber(told or 0) - tonumber(heard or 0)
end

-- Hands a run to an owner and returns the fence that proves it.
local function lease(run, leases, id, owner, ms, lease_ms)
  local fence = redis.call('HINCRBY', run, 'fence', 1)
  redis.call('HSET', run, 'state', RUNNING, 'owner', owner)
  redis.call('HSETNX', run, 'started', digits(ms))
  redis.call('ZADD', leases, digits(ms + lease_ms), id)
  return fence
end

-- Jobs of a partition. `records` holds under the id of each: its queue, who is at it (a digit each),
-- its fence, how often it was claimed, when it was put (13 digits each), and what it is; under no
-- name at all, the last fence. `dues` are the sorted sets of each queue: ids, by when they are due.
local NOBODY, SOMEBODY, SOMEBODY_NUDGED = '0', '1', '2'
local JOB = 42

local function announce_job(records, queue, delay_ms)
  local partition = string.match(records, '{p(%d%d)}')
  redis.call('PUBLISH', 'pentad:jobs', queue .. ' ' .. partition .. ' ' .. digits(delay_ms))
end

-- Records a job that nobody is at, under a fence of its own.
local function record_job(records, dues, queue, id, due, attempt, put, job, ms)
  due = math.max(tonumber(due), ms)
  local fence = stamp(redis.call('HINCRBY', records, '', 1))
  redis.call('HSET', records, id, queue .. NOBODY .. fence .. stamp(attempt) .. put .. job)
  redis.call('ZADD', dues[tonumber(queue)], digits(due), id)
  announce_job(records, queue, due - ms)
end

local function forget_job(records, dues, id, held)
  redis.call('HDEL', records, id)
  redis.call('ZREM', dues[tonumber(string.sub(held, 1, 1))], id)
end

-- Whether a job is still as it was claimed.
local function is_job_of(held, fence)
  return held and tonumber(string.sub(held, 3, 15)) == tonumber(fence)
end

-- Has a job done now that is there, or once more if somebody is at it.
local function nudge_job(records, dues, id, held, ms)
  local queue = string.sub(held, 1, 1)
  if string.sub(held, 2, 2) == NOBODY then
    redis.call('ZADD', dues[tonumber(queue)], 'LT', digits(ms), id)
    announce_job(records, queue, 0)
  else
    redis.call('HSET', records, id, queue .. SOMEBODY_NUDGED .. string.sub(held, 3))
  end
end

-- Records jobs of which each is five values: queue, id, when it is due, whether one that is there is
-- nudged (1) or else replaced, what it is.
local function put_jobs(records, dues, values, ms)
  for i = 1, #values, 5 do
    local queue, id, due, nudges, job = unpack(values, i, i + 4)
    local held = redis.call('HGET', records, id)
    if held and nudges == '1' then
      nudge_job(records, dues, id, held, ms)
    else
      if held then
        forget_job(records, dues, id, held)
      end
      record_job(records, dues, queue, id, due, 0, stamp(ms), job, ms)
    end
  end
end
