-- A record as it is now, and the place of a job that waits for a worker.
-- ARGV: id, retention of failed jobs (s)
-- Returns {place in the queue, from 1, or 0, then the record's fields and values as pairs};
--         of a record that is missing {-1} if it has expired lately, else {0}

local record = RECORD .. ARGV[1]
local job = redis.call('HMGET', record, 'state', 'queue', 'start_by', 'run_at')
local state, queue, start_by, run_at = unpack(job)
local place = 0
if not state then
  return {redis.call('ZSCORE', INDEX, ARGV[1]) and -1 or 0}
elseif state == 'pending' then
  if start_by and tonumber(start_by) <= now then
    expire(ARGV[1], tonumber(ARGV[2]))  -- before any worker does: no reader sees it wait any more
    flush()
  end
  if not run_at or tonumber(run_at) <= now then
    place = (redis.call('ZRANK', QUEUE .. queue, ARGV[1]) or -1) + 1
  end
end
return {place, unpack(redis.call('HGETALL', record))}
