-- Makes a run the active one of its session, or has it line up.
-- KEYS  session, slot, line, records of jobs, dues of each queue...
-- ARGV  run, policy, at most this many in line, ms a slot lives, job that tells a run, job that
--       cancels one
local session, slot, line = KEYS[1], KEYS[2], KEYS[3]
local orders = {records = KEYS[4], dues = {unpack(KEYS, 5)}, tell = ARGV[5], cancel = ARGV[6]}
local run, policy, most, live_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local ms = now()
local held = redis.call('HMGET', slot, 'active', 'since', 'kept')
local active = held[1]
if not active then
  take_slot(slot, run, ms)
  redis.call('PEXPIRE', slot, live_ms)
end
if not active or active == run then
  local first = redis.call('LINDEX', line, 0)
  if wants_way(first) then
    -- It may have been asked to end before it was recorded, and then has not heard of it.
    order(orders, 'cancel', run, string.sub(first, 2), ms)
  end
  return {'ENTERED', stamp(ms), held[3] or '', redis.call('HGETALL', session)}
end

local age_ms = ms - tonumber(held[2])
if in_line(line, run) then
  return {'WAITS', stamp(ms), active, age_ms}
end
if policy == REJECT then
  return {'BUSY', stamp(ms), active, age_ms}
end
if redis.call('LLEN', line) >= most then
  return {'FULL', stamp(ms), active, age_ms}
end
local entry = policy .. run
if wants_way(entry) then
  local before
  for _, other in ipairs(redis.call('LRANGE', line, 0, -1)) do
    if not wants_way(other) then
      break
    end
    before = other
  end
  if before then
    redis.call('LINSERT', line, 'AFTER', before, entry)
  else
    redis.call('LPUSH', line, entry)
  end
  clear_way(slot, line, orders, ms)
else
  redis.call('RPUSH', line, entry)
end
redis.call('PEXPIRE', slot, live_ms)
redis.call('PEXPIRE', line, live_ms)
return {'WAITS', stamp(ms), active, age_ms}
