-- Adds the record of an uploaded file, whose bytes are in the file store already.
-- ARGV: id, retention (s), '' or the caller that has a quota, its files and bytes that may be kept (0: no bound), size,
--       then pairs: further fields and values that describe it
-- Returns {created_at, expires_at}, in ms, or without room {'files', files of the caller} or {'bytes', their bytes}.
-- A repeat begins the retention again, and changes nothing else.

local file, expires = FILE .. ARGV[1], now + ARGV[2] * 1000
local caller, most, most_bytes, size = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local counted = UPLOADS .. caller
if caller ~= '' and redis.call('EXISTS', file) == 0 then
  local files, bytes = quotas().held(counted)
  if most > 0 and files + 1 > most then
    return {'files', files}
  elseif most_bytes > 0 and bytes + size > most_bytes then
    return {'bytes', string.format('%.0f', bytes)}
  end
end
redis.call('ZADD', FILES, expires, ARGV[1])  -- first: a file whose record is incomplete is pruned
redis.call('HSET', file, 'created_at', now, 'expires_at', expires, 'size', ARGV[6], unpack(ARGV, 7))
if caller ~= '' then
  redis.call('HSET', file, 'counted', caller)  -- before it is counted: only a file with this field is counted off
  quotas().charge(counted, ARGV[1], size)
end
return {now, expires}
