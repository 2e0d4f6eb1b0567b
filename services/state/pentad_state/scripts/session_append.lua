-- Adds messages to a session. Each is kept behind its time, 13 digits. The place of a message is
-- counted over the session's life, also when its oldest messages are gone. A run may leave with them.
-- KEYS  session, messages, appends, index, expiries, slot, line, records of jobs, dues of each
--       queue...
-- ARGV  tenant, session, append, ms it lives, messages at most, ms an index lives, run that leaves
--       (empty: none), job that tells a run, job that cancels one, messages...
local session, messages, appends, index, expiries, slot, line = unpack(KEYS, 1, 7)
local orders = {records = KEYS[8], dues = {unpack(KEYS, 9)}, tell = ARGV[8], cancel = ARGV[9]}
local tenant, id, append, index_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local live_ms, most, leaves = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[7]
local FIRST = 10

local ms = now()
local held = redis.call('HMGET', session, 'seq', 'updated')
local seq = tonumber(held[1] or '0')

local function add()
  seq = seq + #ARGV - FIRST + 1
  if held[2] then
    local before = stamp(tonumber(held[2])) .. id
    redis.call('ZREM', index, before)
    redis.call('ZREM', expiries, before)
  end
  for i = FIRST, #ARGV do
    redis.call('RPUSH', messages, stamp(ms) .. ARGV[i])
  end
  redis.call('LTRIM', messages, -most, -1)
  redis.call('HSET', session, 'tenant', tenant, 'session_id', id, 'seq', seq,
    'updated', digits(ms), 'expires', digits(ms + live_ms))
  redis.call('HSETNX', session, 'created', digits(ms))
  redis.call('PEXPIRE', session, digits(live_ms))
  redis.call('PEXPIRE', messages, digits(live_ms))
  redis.call('ZADD', index, 0, stamp(ms) .. id)
  redis.call('ZADD', expiries, digits(ms + live_ms), stamp(ms) .. id)
  prune(index, expiries, ms)
  redis.call('PEXPIRE', index, index_ms)
  redis.call('PEXPIRE', expiries, index_ms)
end

-- Whether the run that leaves is to be forgotten: it completed before it heard that.
local function is_void()
  local at = redis.call('HMGET', slot, 'active', 'fate')
  return leaves ~= '' and at[1] == leaves and at[2] == ROLL_BACK
end

-- Takes a run off the list of those whose work is to be appended.
local function settle()
  local kept = redis.call('HGET', slot, 'kept')
  if not kept then
    return
  end
  local left = ''
  for run in string.gmatch(kept, '%S+') do
    left = left .. (run == append and '' or run .. ' ')
  end
  if left == '' then
    redis.call('HDEL', slot, 'kept')
  else
    redis.call('HSET', slot, 'kept', left)
  end
end

if not redis.call('ZSCORE', appends, append) then
  if not is_void() then
    add()
  end
  redis.call('ZADD', appends, seq, append)
  redis.call('ZREMRANGEBYRANK', appends, 0, -most - 1)
  redis.call('PEXPIRE', appends, digits(live_ms))
end
settle()
if leaves ~= '' then
  leave_slot(slot, line, orders, leaves, true, ms)
end
return redis.call('HGETALL', session)
