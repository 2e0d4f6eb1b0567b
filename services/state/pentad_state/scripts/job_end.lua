-- Forgets a job: one that is done, or, without a fence, whichever has this id. One that was nudged
-- while it was done is to be done once more.
-- KEYS  records, dues of each queue...
-- ARGV  id, fence (empty: any)
local records, dues, id, fence = KEYS[1], {unpack(KEYS, 2)}, ARGV[1], ARGV[2]
local held = redis.call('HGET', records, id)
if held and fence == '' then
  forget_job(records, dues, id, held)
elseif is_job_of(held, fence) then
  if string.sub(held, 2, 2) == SOMEBODY_NUDGED then
    local queue, put, job = string.sub(held, 1, 1), string.sub(held, 29, 41), string.sub(held, JOB)
    record_job(records, dues, queue, id, 0, 0, put, job, now())
  else
    forget_job(records, dues, id, held)
  end
end
return {'OK'}
