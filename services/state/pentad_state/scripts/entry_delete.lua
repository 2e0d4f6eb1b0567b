-- Forgets an entry if it has the expected version.
-- KEYS  entry, index, expiries
-- ARGV  key, expected version (empty: any)
local entry, index, expiries = unpack(KEYS)
local version = redis.call('HGET', entry, 'version')
if version and ARGV[2] ~= '' and version ~= ARGV[2] then
  return {'MISMATCH', tonumber(version)}
end
redis.call('DEL', entry)
redis.call('ZREM', index, ARGV[1])
redis.call('ZREM', expiries, ARGV[1])
return {'OK'}
