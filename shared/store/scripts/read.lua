-- Reads a record, and the queue position of a job that waits for a worker. A job that a worker has neglected is left to
-- `rescue_and_read`: without the parts that rescue needs, this script takes half as long.
-- ARGV: id, caller who alone may know that it has expired, or ''
-- Returns {queue position, from 1, or 0, then the record's fields and values as pairs, or 'large' in place of them; of a job
--         that waits in a paused queue also the field `queue_paused`};
--         {-2} for a neglected job, or one that is in no queue; of a record that is missing {-1} if it has expired lately, else {0}

local id, position = ARGV[1], 0
local record = RECORD .. id
local job = redis.call('HMGET', record, 'state', 'queue', 'start_by', 'run_at', 'claims')
local state, queue, start_by, run_at, claims = unpack(job)
if not state then
  return {expired_lately(id, ARGV[2]) and -1 or 0}
elseif state == 'pending' then
  if start_by and tonumber(start_by) <= now and redis.call('ZSCORE', START_BY, id) then
    return {-2}
  end
  local rank = redis.call('ZRANK', QUEUE .. queue, id)
  if not rank then
    return {-2}
  elseif not run_at or tonumber(run_at) <= now then
    position = rank + 1
  end
elseif state == 'running' then
  local ends = redis.call('ZSCORE', LEASES .. queue, claims .. ':' .. id)
  if not ends or tonumber(ends) <= now then
    return {-2}
  end
end
local fields = fields_of(record)
if state == 'pending' and is_paused(queue) then
  fields[#fields + 1], fields[#fields + 2] = 'queue_paused', 1
end
return {position, unpack(fields)}
