-- Adds events to a journal, and changes with it what hangs together with them.
-- KEYS  ...leases, effects, ready, ended, wakes, inbox, tags of what the run was told, approvals, all
--       approvals, those pending, those that are over, jobs (as `put_jobs` takes them)...
-- ARGV  ...retention in ms, its doubts, the approval that asks about them, when it goes on by itself
--       (ms, 0: never), how much of what it was told it has heard, number of approvals, each as 9
--       values (key, whether it must be pending, state, what it is, its terms), jobs (as `put_jobs`
--       takes them)...
local leases, effects, ready, ended, wakes, inbox, tags = unpack(KEYS, 4, 10)
local book = {approvals = KEYS[11], all = KEYS[12], pending = KEYS[13], over = KEYS[14], id = id}
local jobs, dues = KEYS[15], {unpack(KEYS, 16)}
local retention_ms, doubts, asks = tonumber(ARGV[BESIDE]), ARGV[BESIDE + 1], ARGV[BESIDE + 2]
local wake_ms, heard = tonumber(ARGV[BESIDE + 3]), tonumber(ARGV[BESIDE + 4])
local APPROVALS, VALUES = BESIDE + 6, 9
local JOBS = APPROVALS + tonumber(ARGV[BESIDE + 5]) * VALUES
local ms, closed = now(), state > RUNNING and state ~= PAUSED and state ~= WAITING

local blocked = obstacle()
if blocked then
  return blocked
end
for i = APPROVALS, JOBS - 1, VALUES do
  if is_overtaken(book, ARGV[i], ARGV[i + 1]) then
    return {'UNHEARD', ARGV[i]}
  end
end

-- Takes out of the inbox what the journal holds by now.
local function hear()
  local counts = redis.call('HMGET', run, 'told', 'heard')
  local before, by_now = tonumber(counts[2] or 0), math.min(heard, tonumber(counts[1] or 0))
  if by_now > before then
    redis.call('LTRIM', inbox, by_now - before, -1)
    redis.call('HSET', run, 'heard', by_now)
  end
end

local function change_approvals()
  book.tenant = redis.call('HGET', run, 'tenant')
  redis.call('HSET', run, 'asks', 1)
  for i = APPROVALS, JOBS - 1, VALUES do
    put_approval(book, ARGV[i], ARGV[i + 2], ARGV[i + 3], {unpack(ARGV, i + 4, i + 8)}, ms)
  end
end

-- Lets the run go from its owner's hands, to wait until somebody resumes it. What was asked of it
-- meanwhile, and did not reach its owner, is not to be slept through.
local function rest()
  local asked = redis.call('HMGET', run, 'cancel', 'withdrawn', 'place')
  local cancel, withdrawn, place = unpack(asked, 1, 3)
  redis.call('HDEL', run, 'owner', 'pause', 'withdrawn')
  redis.call('HSET', run, 'doubts', doubts, 'doubted', asks)
  if doubts ~= '' then
    withdrawn = nil  -- it needs an answer of its own
  end
  if withdrawn then
    redis.call('HSET', run, 'resumed', withdrawn)
  end
  if cancel or withdrawn then
    call_up(run, ready, wakes, id, place, cancel)
  else
    redis.call('HSET', run, 'state', PAUSED)
  end
end

-- Lets the run go from its owner's hands, to wait until it is told something or its time comes. The
-- same holds of what was said meanwhile.
local function wait()
  local asked = redis.call('HMGET', run, 'cancel', 'pause', 'place', 'told', 'heard')
  local place, wish = asked[3], asked[1] or asked[2]
  redis.call('HDEL', run, 'owner', 'withdrawn')
  if wish or unheard(asked[4], asked[5]) > 0 or (wake_ms > 0 and wake_ms <= ms) then
    call_up(run, ready, wakes, id, place, wish)
    return
  end
  redis.call('HSET', run, 'state', WAITING)
  if wake_ms > 0 then
    redis.call('ZADD', wakes, digits(wake_ms), place)
    announce(id)
  end
end

local function finish()
  local named = redis.call('HMGET', run, 'created', 'tenant', 'told', 'asks')
  local expiry = digits(ms + retention_ms)
  redis.call('HSET', run, 'state', state, 'ended', digits(ms))
  for _, key in ipairs({run, journal, effects}) do
    redis.call('PEXPIRE', key, digits(retention_ms))
  end
  redis.call('ZADD', ended, expiry, stamp(named[1]) .. id .. named[2])
  if named[3] then
    redis.call('DEL', inbox, tags)
  end
  if named[4] then
    book.tenant = named[2]
    close_book(book, expiry)
    redis.call('PEXPIRE', book.approvals, digits(retention_ms))
  end
end

local recorded = record(ms, closed)
if heard > 0 then
  hear()
end
if JOBS > APPROVALS then
  change_approvals()
end
put_jobs(jobs, dues, {unpack(ARGV, JOBS)}, ms)
if closed then
  redis.call('ZREM', leases, id)
  finish()
elseif state ~= RUNNING then
  redis.call('ZREM', leases, id)
  -- It may be away for longer than a ledger lives by itself.
  redis.call('PERSIST', effects)
  if state == PAUSED then
    rest()
  else
    wait()
  end
end
return recorded
