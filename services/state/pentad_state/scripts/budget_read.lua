-- Returns the store's time, how many reservations have expired and are not charged yet, and of each
-- budget its record, its zone, its day and what is spent and reserved; nothing of one that is gone.
-- KEYS  see accounts.lua
-- ARGV  keys...
local ms = now()
tidy(ms)
local found = {digits(ms), redis.call('ZCOUNT', open, '-inf', ms)}
for _, key in ipairs(ARGV) do
  local record, recorded = redis.call('HGET', records, key), redis.call('HGET', limits, key)
  if record and recorded then
    local limit = split(recorded)
    local name = current(key, limit, ms)
    local held = name and account(name) or {0, 0, 0, 0, 0, 0, 0, 0}
    found[#found + 1] = {record, limit[7], name and limit[5] or '', join(held)}
  else
    found[#found + 1] = false
  end
end
return found
