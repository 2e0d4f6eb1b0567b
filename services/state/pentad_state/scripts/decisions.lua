-- Stands before the scripts that know of approvals and of what people decide. States are those of
-- Approval.State.
local PENDING, APPROVED, REFUSED, EXPIRED, WITHDRAWN = 1, 2, 3, 4, 5

-- A run's approvals are one hash. Of each it holds, under the approval's key: its state, when it was
-- made (13 digits), what it is, what a decision has to keep to, and the decision, behind its time
-- and the tag of its request (16 characters). A book is that hash, the run's id and tenant, and the
-- indexes of the partition: all approvals, those that are pending, those whose time is over. An
-- index holds them by tenant and age.
local function listed(book, key)
  local made = redis.call('HGET', book.approvals, 'made:' .. key)
  return #book.tenant .. ':' .. book.tenant .. made .. book.id .. '/' .. key
end

-- Whether somebody has decided what may be changed only while it is pending.
local function is_overtaken(book, key, must_be_pending)
  local state = tonumber(redis.call('HGET', book.approvals, 'state:' .. key) or PENDING)
  return must_be_pending == '1' and (state == APPROVED or state == REFUSED)
end

-- Makes an approval, or changes it unless somebody has decided it. Its terms are when it expires and
-- escalates (ms, 0: never), the digest of what is asked for, who may decide, who may later.
local function put_approval(book, key, state, body, terms, ms)
  if is_overtaken(book, key, '1') then
    return
  end
  redis.call('HSETNX', book.approvals, 'made:' .. key, stamp(ms))
  redis.call('HSET', book.approvals, 'tenant', book.tenant,
    'state:' .. key, state, 'approval:' .. key, body, 'expires:' .. key, terms[1],
    'escalates:' .. key, terms[2], 'digest:' .. key, terms[3],
    'approvers:' .. key, terms[4], 'escalate_to:' .. key, terms[5])
  local member = listed(book, key)
  redis.call('ZADD', book.all, 0, member)
  if tonumber(state) == PENDING then
    redis.call('ZADD', book.pending, 0, member)
  else
    redis.call('ZREM', book.pending, member)
  end
  prune(book.all, book.over, ms)
end

-- Records what was decided.
local function put_decision(book, key, state, tag, decision, ms)
  redis.call('HSET', book.approvals, 'state:' .. key, state,
    'decision:' .. key, stamp(ms) .. tag .. decision)
  redis.call('ZREM', book.pending, listed(book, key))
end

-- Withdraws what a run that ends has not heard, and forgets all of it once the run's time is over.
local function close_book(book, expiry)
  for _, field in ipairs(redis.call('HKEYS', book.approvals)) do
    local key = string.match(field, '^state:(.*)$')
    if key then
      local member = listed(book, key)
      if redis.call('ZREM', book.pending, member) == 1 then
        redis.call('HSET', book.approvals, field, WITHDRAWN)
      end
      redis.call('ZADD', book.over, expiry, member)
    end
  end
end

-- Whether each doubt is settled, and nothing else. A doubt is `CALL:ATTEMPT`; it is settled by its
-- like, and by `CALL:0`, which is for any attempt.
local function settles(doubts, settlements)
  local left = {}
  for _, settlement in ipairs(settlements) do
    left[settlement] = true
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

-- Lets a run that rests go on, behind those that wait; its next owner is to journal `resumed`.
local function resume(run, ready, due, turns, id, place, resumed, ms)
  redis.call('HSET', run, 'state', QUEUED, 'resumed', resumed)
  redis.call('HDEL', run, 'pause')
  schedule(ready, due, turns, id, place, ms)
end
