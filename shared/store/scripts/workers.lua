-- The live workers.
-- Returns {now (ms), then per worker {id, end of its lease (ms), then the fields of its hash and their values}}

local FIELDS = {'host', 'pid', 'release', 'queues', 'slots', 'running', 'models', 'memory', 'started_at', 'seen_at'}

local found = {now}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, now, '+inf')) do
  local values = redis.call('HMGET', WORKER .. id, unpack(FIELDS))
  if values[1] then
    local worker = {id, redis.call('ZSCORE', WORKERS, id)}
    for i, field in ipairs(FIELDS) do
      if values[i] then
        worker[#worker + 1] = field
        worker[#worker + 1] = values[i]
      end
    end
    found[#found + 1] = worker
  end
end
return found
