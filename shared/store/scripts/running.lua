-- Running jobs of all queues, with the worker of each.
-- ARGV: number of leases to look at
-- Returns per job {worker id, id, type, queue, started_at (ms)}

local found, left = {}, tonumber(ARGV[1])
for _, queue in ipairs(redis.call('SMEMBERS', QUEUES)) do
  for _, lease in ipairs(left > 0 and redis.call('ZRANGE', LEASES .. queue, 0, left - 1) or {}) do
    local id = string.sub(lease, string.find(lease, ':', 1, true) + 1)
    local worker, kind, state, started_at = unpack(
      redis.call('HMGET', RECORD .. id, 'worker', 'type', 'state', 'started_at'))
    if state == 'running' then
      found[#found + 1] = {worker, id, kind, queue, started_at}
    end
    left = left - 1
  end
end
return found
