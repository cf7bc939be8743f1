-- A worker's heartbeat: renews its leases, says that it lives, sweeps the indexes.
-- ARGV: worker id, lease (ms), host, pid, queues, slots, running, started_at (s since the epoch),
--       retention of completed, failed, cancelled jobs (s), number of steps under way,
--       then two values per step: worker id of the lane, step number,
--       then two values per lease: queue, `claim:id`
-- Claims of a step under way are renewed too: a worker that freezes may have them in a reply that it has not read.
-- Returns {members whose lease is lost, members that were asked to stop}.

local worker, lease = ARGV[1], tonumber(ARGV[2])
local lost, cancelled = {}, {}
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', now)
local first = 13 + 2 * ARGV[12]
for i = first, #ARGV, 2 do
  local leases, member = LEASES .. ARGV[i], ARGV[i + 1]
  if redis.call('ZSCORE', leases, member) then
    redis.call('ZADD', leases, now + lease, member)
    local id = string.sub(member, string.find(member, ':', 1, true) + 1)
    if redis.call('HEXISTS', RECORD .. id, 'cancel_requested') == 1 then
      cancelled[#cancelled + 1] = member
    end
  else
    lost[#lost + 1] = member
  end
end

for i = 13, first - 1, 2 do
  local memory = redis.call('HMGET', WORKER .. ARGV[i], 'step', 'claimed')
  if memory[1] == ARGV[i + 1] then
    redis.call('PEXPIRE', WORKER .. ARGV[i], lease)
    for queue, member in string.gmatch(memory[2], '(%S+) (%S+)') do
      if redis.call('ZSCORE', LEASES .. queue, member) then
        redis.call('ZADD', LEASES .. queue, now + lease, member)
      end
    end
  end
end

redis.call('HSET', WORKER .. worker, 'host', ARGV[3], 'pid', ARGV[4], 'queues', ARGV[5], 'slots', ARGV[6],
  'running', ARGV[7], 'started_at', ARGV[8])
redis.call('PEXPIRE', WORKER .. worker, lease)
redis.call('ZADD', WORKERS, now + lease, worker)
local longest = redis.call('ZRANGE', WORKERS, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', WORKERS, longest[2])
local retain = {completed = tonumber(ARGV[9]), failed = tonumber(ARGV[10]), cancelled = tonumber(ARGV[11])}
expire_late(retain.failed, 1000)
trim(1000, retain)
return {lost, cancelled}
