-- A worker's heartbeat: renews its leases, says that it lives.
-- ARGV: worker id, lease (ms), host, pid, queues, slots, running, started_at (s since the epoch),
--       then two values per running job: queue, `claim:id`
-- Returns {members whose lease is lost, members that were asked to stop}.

local worker, lease = ARGV[1], tonumber(ARGV[2])
local lost, cancelled = {}, {}
rescue_from(lease, true)
for i = 9, #ARGV, 2 do
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

redis.call('HSET', WORKER .. worker, 'host', ARGV[3], 'pid', ARGV[4], 'queues', ARGV[5], 'slots', ARGV[6],
  'running', ARGV[7], 'started_at', ARGV[8])
redis.call('PEXPIRE', WORKER .. worker, MEMORY)
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', now)
redis.call('ZADD', WORKERS, now + lease, worker)
local longest = redis.call('ZRANGE', WORKERS, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', WORKERS, longest[2])
return {lost, cancelled}
