-- Records what a person decided, and tells the run, or lets it go on where it rests for that.
-- KEYS  run, inbox, ready, wakes, due, turns, approvals, those pending
-- ARGV  id, tenant, key, tag of the request (16 characters), who decides, digest of what they saw
--       (empty: not checked), state it gives, decision, what the run is told (empty: it is resumed),
--       what its next owner is to journal then, which doubts it settles...
local run, inbox, ready, wakes, due, turns, approvals, pending = unpack(KEYS)
local id, tenant, key, tag, who, digest = unpack(ARGV, 1, 6)
local state, decision, event, resumed = unpack(ARGV, 7, 10)
local book = {approvals = approvals, pending = pending, id = id, tenant = tenant}

local held = redis.call('HMGET', run, 'tenant', 'state', 'place', 'doubted', 'doubts')
local known = redis.call('HMGET', approvals, 'state:' .. key, 'decision:' .. key, 'expires:' .. key,
  'escalates:' .. key, 'digest:' .. key, 'approvers:' .. key, 'escalate_to:' .. key)
if held[1] ~= tenant or not known[1] then
  return {'GONE'}
end
local ms, stands = now(), tonumber(known[1])

-- Whether they are among those that may decide by now; no names at all stand for everybody.
local function is_allowed()
  local escalates, names = tonumber(known[4]), known[6]
  if names == '' then
    return true
  end
  if escalates > 0 and ms >= escalates then
    names = names .. '\n' .. known[7]
  end
  return string.find('\n' .. names .. '\n', '\n' .. who .. '\n', 1, true)
end

local function answer(verdict)
  return {verdict, redis.call('HMGET', approvals, 'state:' .. key, 'made:' .. key,
    'approval:' .. key, 'decision:' .. key)}
end

if known[2] and string.sub(known[2], 14, 29) == tag then
  return answer('OK')
end
if stands == APPROVED or stands == REFUSED then
  return answer('DECIDED')
end
local expires = tonumber(known[3])
if stands == EXPIRED or (stands == PENDING and expires > 0 and ms >= expires) then
  return answer('EXPIRED')
end
local asks = event ~= '' or (tonumber(held[2]) == PAUSED and held[4] == key)
if stands == WITHDRAWN or not asks then
  return answer('WITHDRAWN')
end
if not is_allowed() then
  return answer('NOT_ALLOWED')
end
if digest ~= '' and digest ~= known[5] then
  return answer('CHANGED')
end
if event ~= '' then
  tell(run, inbox, ready, wakes, id, event, ms)
elseif settles(held[5], {unpack(ARGV, 11)}) then
  resume(run, ready, due, turns, id, held[3], resumed, ms)
else
  return answer('UNSETTLED')
end
put_decision(book, key, state, tag, decision, ms)
return answer('OK')
