-- A record as it is now, and the place of a job that waits for a worker.
-- ARGV: id, retention of failed jobs (s)
-- Returns {place in the queue, from 1, or 0, then the record's fields and values as pairs, none if it is missing}

local record = RECORD .. ARGV[1]
local job = redis.call('HMGET', record, 'state', 'queue', 'start_by', 'run_at')
local state, queue, start_by, run_at = unpack(job)
local place = 0
if state == 'pending' then
  if start_by and tonumber(start_by) <= now then
    expire(ARGV[1], tonumber(ARGV[2]))  -- before any worker does: no reader sees it wait any more
    flush()
  end
  if not run_at or tonumber(run_at) <= now then
    place = (redis.call('ZRANK', QUEUE .. queue, ARGV[1]) or -1) + 1
  end
end
return {place, unpack(redis.call('HGETALL', record))}
