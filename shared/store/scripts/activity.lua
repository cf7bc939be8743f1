-- Jobs that have changed since a time, in its millisecond too: those created, those ended, the newest of each; and
-- running jobs.
-- ARGV: time (ms), jobs of each kind at most, retention of completed, failed, cancelled jobs (s)
-- Returns {now (ms), number of jobs created or ended since then, {their ids}, {id and version of each running job in turn}}

local since, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local total, ids, running = 0, {}, {}

local function add_newest(index, from)
  total = total + redis.call('ZCOUNT', index, from, '+inf')
  local newest = redis.call('ZRANGE', index, '+inf', from, 'BYSCORE', 'REV', 'LIMIT', 0, limit)
  for _, id in ipairs(newest) do
    ids[#ids + 1] = id
  end
end

add_newest(INDEX, since)
for i, state in ipairs({'completed', 'failed', 'cancelled'}) do
  add_newest(INDEX_OF .. state, since + ARGV[2 + i] * 1000)
end
for _, queue in ipairs(redis.call('SMEMBERS', QUEUES)) do
  for _, lease in ipairs(redis.call('ZRANGE', LEASES .. queue, -limit, -1)) do
    local id = string.sub(lease, string.find(lease, ':', 1, true) + 1)
    if #running < 2 * limit then
      running[#running + 1] = id
      running[#running + 1] = redis.call('HGET', RECORD .. id, 'version') or '0'
    end
  end
end
return {now, total, ids, running}
