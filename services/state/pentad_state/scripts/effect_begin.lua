-- Says whether a call may run, and records who runs it. States: running, unknown, done.
-- KEYS  effects of the run
-- ARGV  call, fingerprint, effect, runner, hold in ms, effect that is never repeated, ms it lives
local effects = KEYS[1]
local call, fingerprint, effect, runner = unpack(ARGV, 1, 4)
local hold_ms, once, live_ms = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local ms = now()

local held = redis.call('HMGET', effects, 'state:' .. call, 'fingerprint:' .. call,
  'effect:' .. call, 'runner:' .. call, 'until:' .. call, 'outcome:' .. call)
local state, until_ms = held[1], tonumber(held[5] or '0')

local function take(verdict, as)
  local fence = redis.call('HINCRBY', effects, 'fence:' .. call, 1)
  -- A runner that repeats its begin has made no attempt in between.
  local made = (as == 'running' and held[4] ~= runner) and 1 or 0
  local attempt = redis.call('HINCRBY', effects, 'attempt:' .. call, made)
  redis.call('HSET', effects, 'state:' .. call, as, 'runner:' .. call, runner,
    'until:' .. call, digits(ms + hold_ms))
  if redis.call('PTTL', effects) == -1 then
    redis.call('PEXPIRE', effects, live_ms)
  end
  return {verdict, fence, attempt}
end

if not state then
  redis.call('HSET', effects, 'fingerprint:' .. call, fingerprint, 'effect:' .. call, effect)
  return take('RUN', 'running')
end
if held[2] ~= fingerprint then
  return {'CHANGED'}
end
if state == 'done' then
  return {'REPLAY', held[6]}
end
if held[4] ~= runner and until_ms > ms then
  return {'IN_PROGRESS', until_ms - ms}
end
if state == 'unknown' or (held[4] ~= runner and held[3] == once) then
  return take('OUTCOME_UNKNOWN', 'unknown')
end
return take('RUN', 'running')
