-- A worker's heartbeat: renews its leases, and shows that it lives.
-- ARGV: a row BEAT, then a row STEP_UNDER_WAY per step under way, then a row LEASE per lease
-- Claims of a step under way are renewed too: a worker that freezes may have them in a reply that it has not read.
-- Returns {leases that are lost, leases whose jobs were asked to stop}

local worker, lease = ARGV[BEAT.worker_id], tonumber(ARGV[BEAT.lease])
local before_leases = #BEAT + #STEP_UNDER_WAY * ARGV[BEAT.steps]  -- words
local lost, cancelled = {}, {}

local function renew(queue, member)
  if not redis.call('ZSCORE', LEASES .. queue, member) then
    return false
  end
  redis.call('ZADD', LEASES .. queue, now + lease, member)
  return true
end

rescue_from(lease, true)
for at = before_leases, #ARGV - 1, #LEASE do
  local member = ARGV[at + LEASE.lease]
  if not renew(ARGV[at + LEASE.queue], member) then
    lost[#lost + 1] = member
  else
    local id = string.sub(member, string.find(member, ':', 1, true) + 1)
    local cancel_requested, holder = unpack(redis.call('HMGET', RECORD .. id, 'cancel_requested', 'worker'))
    if not holds(worker, holder) then
      lost[#lost + 1] = member
    elseif cancel_requested then
      cancelled[#cancelled + 1] = member
    end
  end
end
for at = #BEAT, before_leases - 1, #STEP_UNDER_WAY do
  local last_step, claimed = unpack(
    redis.call('HMGET', WORKER .. ARGV[at + STEP_UNDER_WAY.worker_id],
      memory_fields(ARGV[at + STEP_UNDER_WAY.pump])))
  if last_step == ARGV[at + STEP_UNDER_WAY.number] then
    for queue, member in string.gmatch(claimed, '(%S+) (%S+)') do
      renew(queue, member)
    end
  end
end

redis.call('HSET', WORKER .. worker, 'host', ARGV[BEAT.host], 'pid', ARGV[BEAT.pid], 'queues', ARGV[BEAT.queues],
  'slots', ARGV[BEAT.slots], 'running', ARGV[BEAT.running], 'models', ARGV[BEAT.models],
  'memory', ARGV[BEAT.memory], 'release', ARGV[BEAT.release], 'started_at', ARGV[BEAT.started_at],
  'overdue', ARGV[BEAT.overdue], 'seen_at', now)
redis.call('PEXPIRE', WORKER .. worker, MEMORY)
redis.call('ZREMRANGEBYSCORE', WORKERS, '-inf', now)
redis.call('ZADD', WORKERS, now + lease, worker)
local longest = redis.call('ZRANGE', WORKERS, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', WORKERS, longest[2])
return {lost, cancelled}
