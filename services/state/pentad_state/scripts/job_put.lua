-- Records a job.
-- KEYS  records, dues of each queue...
-- ARGV  whether one that is there is left (1), queue, id, due in ms, job
local records = KEYS[1]
if ARGV[1] == '1' and redis.call('HEXISTS', records, ARGV[3]) == 1 then
  return {'LEFT'}
end
put_jobs(records, {unpack(KEYS, 2)}, {unpack(ARGV, 2)}, now())
return {'OK'}
