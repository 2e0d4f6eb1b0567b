-- Has a job nudged by each event of a topic; one that is there stays as it is.
-- KEYS  topic, triggers, expiries, records, dues of each queue...
-- ARGV  name of the topic, at most this many triggers, job (as `put_jobs` takes it)...
local topic, triggers, expiries, records = unpack(KEYS, 1, 4)
local id = ARGV[4]
if redis.call('SISMEMBER', triggers, id) == 1 then
  return {'OK'}
end
if redis.call('SCARD', triggers) >= tonumber(ARGV[2]) then
  return {'FULL'}
end
redis.call('SADD', triggers, id)
-- Its places count for as long as somebody reads on from one of them.
redis.call('PERSIST', topic)
redis.call('ZREM', expiries, ARGV[1])
put_jobs(records, {unpack(KEYS, 5)}, {unpack(ARGV, 3)}, now())
return {'OK'}
