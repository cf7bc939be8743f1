-- Cancels a job: at once while it waits, by a request to its worker while it runs.
-- ARGV: id, retention of completed, failed, cancelled jobs (s), caller whose jobs alone count, or '',
--       the versions at which it may be cancelled, each between spaces, or '' for any version
-- Returns {result, {moves}, the record's fields and values as pairs, or 'large'} with the result 'missing' or 'expired',
-- without a record, 'cancelled' (also for a job that was cancelled before), 'cancelling' or 'finished'; or {'changed', {},
-- 'version', version} and does nothing if the record has none of the versions. A repeat ignores the new version that its first
-- call has made.

local id = ARGV[1]
local record = RECORD .. id
local retain = {completed = tonumber(ARGV[2]), failed = tonumber(ARGV[3]), cancelled = tonumber(ARGV[4])}
local job = read_fields(id)
if not job[STATE] then
  return {expired_lately(id, ARGV[5]) and 'expired' or 'missing', moves}
elseif ARGV[5] ~= '' and job[CALLER] ~= ARGV[5] then
  return {'missing', moves}
end
local queue, requested = unpack(redis.call('HMGET', record, 'queue', 'cancel_requested'))
local versions = ARGV[6]
local alive = job[STATE] == 'pending' or job[STATE] == 'running'
if alive and not requested and versions ~= '' and not versions:find(' ' .. job[VERSION] .. ' ', 1, true) then
  return {'changed', moves, 'version', job[VERSION]}
end

local result = cancel_job(id, job, queue, requested, retain)
wake_workers()
return {result, moves, unpack(fields_of(record))}
