-- Lets a run that rests go on, or takes back a pause that is not carried out yet.
-- KEYS  run, ready, due, turns
-- ARGV  id, tenant, tag of the request (16 characters), what its next owner is to journal, which
--       doubts it settles...
local run, ready, due, turns = unpack(KEYS)
local id, tenant, tag, resumed = unpack(ARGV, 1, 4)

-- Whether each doubt is settled, and nothing else. A doubt is `CALL:ATTEMPT`; it is settled by its
-- like, and by `CALL:0`, which is for any attempt.
local function settles(doubts)
  local left = {}
  for i = 5, #ARGV do
    left[ARGV[i]] = true
  end
  for doubt in string.gmatch(doubts, '%S+') do
    local any = string.gsub(doubt, ':%d+$', ':0')
    if not (left[doubt] or left[any]) then
      return false
    end
    left[doubt], left[any] = nil, nil
  end
  return next(left) == nil
end

local held = redis.call('HMGET', run, 'tenant', 'state', 'place', 'pause', 'resumes', 'cancel',
  'doubts')
if held[1] ~= tenant then
  return {'GONE'}
end
local state, place, pause, resumes = tonumber(held[2]), held[3], held[4], held[5] or ''
if string.find(resumes, ' ' .. tag, 1, true) then
  return {'OK', redis.call('HGETALL', run)}
end
if state == PAUSED then
  if not settles(held[7] or '') then
    return {'UNSETTLED', redis.call('HGETALL', run)}
  end
  redis.call('HSET', run, 'state', QUEUED, 'resumed', resumed)
  schedule(ready, due, turns, id, place, now())
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
