-- A worker's heartbeat: renews its leases, says that it lives.
-- ARGV: worker id, lease (ms), host, pid, queues, slots, running, started_at (s since the epoch), number of steps under
--       way, then two values per step: worker id of the lane, step number,
--       then two values per lease: queue, `claim:id`
-- Claims of a step under way are renewed too: a worker that freezes may have them in a reply that it has not read.
-- Returns {members whose lease is lost, members that were asked to stop}.

local worker, lease = ARGV[1], tonumber(ARGV[2])
local first_lease = 10 + 2 * ARGV[9]
local lost, cancelled = {}, {}

local function renew(queue, member)
  if not redis.call('ZSCORE', LEASES .. queue, member) then
    return false
  end
  redis.call('ZADD', LEASES .. queue, now + lease, member)
  return true
end

rescue_from(lease, true)
for i = first_lease, #ARGV, 2 do
  local member = ARGV[i + 1]
  if not renew(ARGV[i], member) then
    lost[#lost + 1] = member
  else
    local id = string.sub(member, string.find(member, ':', 1, true) + 1)
    if redis.call('HEXISTS', RECORD .. id, 'cancel_requested') == 1 then
      cancelled[#cancelled + 1] = member
    end
  end
end
for i = 10, first_lease - 1, 2 do
  local memory = redis.call('HMGET', WORKER .. ARGV[i], 'step', 'claimed')
  if memory[1] == ARGV[i + 1] then
    for queue, member in string.gmatch(memory[2], '(%S+) (%S+)') do
      renew(queue, member)
    end
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
