-- A job's log, as far as it is kept.
-- ARGV: id, number of the last line that is known already, or 0, caller whose jobs alone count, or ''
-- Returns {lines written in all, the lines after that one, each a JSON object};
--         of a job that is missing {-1} if it has expired lately, else {-2}

local state, written, caller = unpack(redis.call('HMGET', RECORD .. ARGV[1], 'state', 'lines', 'caller'))
if not state then
  return {expired_lately(ARGV[1], ARGV[3]) and -1 or -2}
elseif ARGV[3] ~= '' and caller ~= ARGV[3] then
  return {-2}
end
local total = tonumber(written or 0)
local unknown = math.max(total - ARGV[2], 0)
return {total, unpack(unknown > 0 and redis.call('LRANGE', LOGS .. ARGV[1], -unknown, -1) or {})}
