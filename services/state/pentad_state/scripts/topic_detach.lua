-- Forgets a job that is nudged by each event of a topic.
-- KEYS  topic, triggers, expiries, records, dues of each queue...
-- ARGV  name of the topic, id of the job, ms events are kept
local topic, triggers, expiries, records = unpack(KEYS, 1, 4)
local name, id, live_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
redis.call('SREM', triggers, id)
local held = redis.call('HGET', records, id)
if held then
  forget_job(records, {unpack(KEYS, 5)}, id, held)
end
if redis.call('SCARD', triggers) == 0 and redis.call('EXISTS', topic) == 1 then
  redis.call('PEXPIRE', topic, digits(live_ms))
  redis.call('ZADD', expiries, digits(now() + live_ms), name)
end
return {'OK'}
