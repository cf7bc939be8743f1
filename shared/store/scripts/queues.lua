-- The state of queues: of those given, and of all that are paused or hold jobs.
-- ARGV: names
-- Returns {now (ms), then per queue {name, jobs that are due, scheduled, running, due time (ms) of the oldest job or '',
-- its pause as JSON or '', jobs that completed, failed, were cancelled in the last minute}}

local found, named = {now}, {}

-- The jobs of a queue that ended in the last minute, by outcome.
local function ended_lately(queue)
  local ended, last = {0, 0, 0}, math.floor(now / BUCKET)
  for bucket = last - 60000 / BUCKET + 1, last do
    local counts = redis.call('HMGET', COUNTS .. queue .. ':' .. bucket,
      'completed', 'failed', 'cancelled')
    for i, count in ipairs(counts) do
      ended[i] = ended[i] + (count or 0)
    end
  end
  return ended
end

local function look_at(queue)
  if named[queue] or queue == WEBHOOKS then
    return
  end
  named[queue] = true
  local waiting, ready = redis.call('ZCARD', QUEUE .. queue), redis.call('ZCOUNT', QUEUE .. queue, '-inf', now)
  local oldest = ready > 0 and redis.call('ZRANGE', QUEUE .. queue, 0, 0, 'WITHSCORES')[2] or ''
  local pause = redis.call('HGET', PAUSED, queue) or ''
  found[#found + 1] = {queue, ready, waiting - ready, redis.call('ZCARD', LEASES .. queue), oldest, pause,
    unpack(ended_lately(queue))}
end

for _, queue in ipairs(ARGV) do
  look_at(queue)
end
for _, queues in ipairs({redis.call('SMEMBERS', QUEUES), redis.call('HKEYS', PAUSED)}) do
  for _, queue in ipairs(queues) do
    look_at(queue)
  end
end
return found
