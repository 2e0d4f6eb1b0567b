-- Stands before every script. States of a run are those of RunStatus.State.
local QUEUED, RUNNING = 1, 2

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

-- Hands a run to an owner and returns the fence that proves it.
local function lease(run, ready, leases, id, owner, ms, lease_ms)
  local fence = redis.call('HINCRBY', run, 'fence', 1)
  redis.call('HSET', run, 'state', RUNNING, 'owner', owner)
  redis.call('HSETNX', run, 'started', digits(ms))
  redis.call('ZREM', ready, id)
  redis.call('ZADD', leases, digits(ms + lease_ms), id)
  return fence
end

-- Says that the partition of a run has work.
local function announce(id)
  redis.call('PUBLISH', 'pentad:work', 'ready ' .. string.sub(id, 1, 2))
end
