-- The state of queues: of those given, and of all that are paused or hold jobs.
-- ARGV: names
-- Returns {now (ms), then per queue {name, jobs that are due, scheduled, running, due time (ms) of the oldest job or '',
-- its pause as JSON or '', jobs that completed, failed, were cancelled in the last minute}}

local found, named, ended = {now}, {}, {}

for bucket = math.floor(now / BUCKET) - 60000 / BUCKET + 1, math.floor(now / BUCKET) do
  local counts = redis.call('HGETALL', COUNTS .. bucket)
  for i = 1, #counts, 2 do
    ended[counts[i]] = (ended[counts[i]] or 0) + counts[i + 1]
  end
end

local function ended_lately(queue, outcome)
  return ended[queue .. ' ' .. outcome] or 0
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
    ended_lately(queue, 'completed'), ended_lately(queue, 'failed'), ended_lately(queue, 'cancelled')}
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
