-- Cancels a job: at once while it waits, by a request to its worker while it runs.
-- ARGV: id, retention of cancelled jobs (s)
-- Returns {'missing'}, {'expired'}, or {verdict, the record's fields and values as pairs} with the verdict
-- 'cancelled' (also for a job that was cancelled before), 'cancelling' or 'finished'.

local id = ARGV[1]
local record = RECORD .. id
local job = redis.call('HMGET', record, 'state', 'queue', 'cancel_requested', 'start_by')
local state, queue, requested, start_by = unpack(job)
if not state then
  return {redis.call('ZSCORE', INDEX, id) and 'expired' or 'missing'}
end

local verdict = 'finished'
if state == 'pending' then
  redis.call('ZREM', QUEUE .. queue, id)
  if start_by then
    redis.call('ZREM', DEADLINES, id)
  end
  redis.call('HSET', record, 'cancel_requested', 1)
  settle(id, 'pending', 'cancelled', tonumber(ARGV[2]))
  flush()
  verdict = 'cancelled'
elseif state == 'running' then
  if not requested then
    redis.call('HSET', record, 'cancel_requested', 1)
    changed(id)
  end
  redis.call('PUBLISH', CANCEL, id)
  verdict = 'cancelling'
elseif state == 'cancelled' then
  verdict = 'cancelled'
end
return {verdict, unpack(redis.call('HGETALL', record))}
