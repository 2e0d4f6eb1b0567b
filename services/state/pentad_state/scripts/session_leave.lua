-- Takes a run out of its session or the line.
-- KEYS  slot, line, records of jobs, dues of each queue...
-- ARGV  run, job that tells a run, job that cancels one
local slot, line = KEYS[1], KEYS[2]
local orders = {records = KEYS[3], dues = {unpack(KEYS, 4)}, tell = ARGV[2], cancel = ARGV[3]}
leave_slot(slot, line, orders, ARGV[1], false, now())
return 'OK'
