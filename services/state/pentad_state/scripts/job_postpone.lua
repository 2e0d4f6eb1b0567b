-- Gives a claimed job back for another time; one that was nudged meanwhile, for at once.
-- KEYS  records, dues of each queue...
-- ARGV  fence, whether the next claim is a first attempt (1), queue, id, due in ms, job
local records, dues = KEYS[1], {unpack(KEYS, 2)}
local fence, afresh, queue, id, due, job = unpack(ARGV)
local held = redis.call('HGET', records, id)
if is_job_of(held, fence) then
  local attempt = afresh == '1' and 0 or tonumber(string.sub(held, 16, 28))
  local nudged = string.sub(held, 2, 2) == SOMEBODY_NUDGED
  forget_job(records, dues, id, held)
  local put = string.sub(held, 29, 41)
  record_job(records, dues, queue, id, nudged and 0 or due, attempt, put, job, now())
end
return {'OK'}
