-- Reads a record as `read` does, once a neglected job is put right: a job that was not started in time has failed, and
-- a job whose worker has died is rescued, before any reader sees it wait or run.
-- ARGV: id, retention of completed, failed, cancelled jobs (s), caller who alone may know that it has expired, or ''
-- Returns {queue position, from 1, or 0, {moves}, then the record's fields and values as pairs, or 'large' in place of
--         them}; of a record that is missing {-1, {}} if it has expired lately, else {0, {}}

local id = ARGV[1]
local record = RECORD .. id
local retain = {completed = tonumber(ARGV[2]), failed = tonumber(ARGV[3]), cancelled = tonumber(ARGV[4])}
local job = redis.call('HMGET', record, 'state', 'queue', 'start_by', 'claims')
local state, queue, start_by, claims = unpack(job)
if not state then
  return {expired_lately(id, ARGV[5]) and -1 or 0, moves}
elseif state == 'pending' then
  if start_by and tonumber(start_by) <= now and redis.call('ZSCORE', START_BY, id) then
    fail_unstarted(id, retain)
  else
    repair(id, retain)
  end
elseif state == 'running' then
  rescue_one(queue, id, claims, retain)
end
wake_workers()
local due = redis.call('ZSCORE', QUEUE .. queue, id)
local waits = due and tonumber(due) <= now
return {waits and redis.call('ZRANK', QUEUE .. queue, id) + 1 or 0, moves, unpack(fields_of(record))}
