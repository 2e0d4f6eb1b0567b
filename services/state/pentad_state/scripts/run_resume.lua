-- Lets a run that rests go on, or takes back a pause that is not carried out yet.
-- KEYS  run, ready, due, turns, approvals, those pending
-- ARGV  id, tenant, tag of the request (16 characters), what its next owner is to journal, the same
--       as a decision, which doubts it settles...
local run, ready, due, turns = unpack(KEYS)
local id, tenant, tag, resumed, decision = unpack(ARGV, 1, 5)

local held = redis.call('HMGET', run, 'tenant', 'state', 'place', 'pause', 'resumes', 'cancel',
  'doubts', 'doubted')
if held[1] ~= tenant then
  return {'GONE'}
end
local state, place, pause, resumes = tonumber(held[2]), held[3], held[4], held[5] or ''
if string.find(resumes, ' ' .. tag, 1, true) then
  return {'OK', redis.call('HGETALL', run)}
end
if state == PAUSED then
  if not settles(held[7] or '', {unpack(ARGV, 6)}) then
    return {'UNSETTLED', redis.call('HGETALL', run)}
  end
  local ms = now()
  resume(run, ready, due, turns, id, place, resumed, ms)
  if held[8] and held[8] ~= '' then
    local book = {approvals = KEYS[5], pending = KEYS[6], id = id, tenant = tenant}
    put_decision(book, held[8], APPROVED, tag, decision, ms)
  end
elseif state == QUEUED and pause then
  if not held[6] then
    redis.call('ZREM', ready, place)
    schedule(ready, due, turns, id, place, now())
  end
elseif state == RUNNING and pause then
  -- Its owner may have heard already, and lets it rest in a moment: then it goes on at once.
  redis.call('HSET', run, 'withdrawn', resumed)
else
  return {'AWAKE'}
end
redis.call('HDEL', run, 'pause')
-- The latest 64 are remembered: a repeat comes soon.
redis.call('HSET', run, 'resumes', string.sub(' ' .. tag .. resumes, 1, 64 * 17))
return {'OK', redis.call('HGETALL', run)}
