-- Rescue, repair and pruning: the moves of jobs that no worker takes care of. worker/services/rescuer.py calls
-- all of them through upkeep.lua; a worker's step rescues as well.

-- Removes expired jobs from the indexes and from the counts of callers; their records have expired by themselves. Their
-- ids stay for the same time once more, but at most one day. Until then a request for such a job is answered 410.
-- Returns whether an index may hold more.
local function prune(limit, retain)
  local more = false
  quotas().prune_kept(limit)
  for state, retention in pairs(retain) do
    local oldest = now - math.min(retention, 86400) * 1000
    local ids = redis.call('ZRANGEBYSCORE', INDEX_OF .. state, '-inf', oldest, 'LIMIT', 0, limit)
    if #ids > 0 then
      redis.call('ZREM', INDEX, unpack(ids))
      redis.call('ZREM', INDEX_OF .. state, unpack(ids))
      more = more or #ids == limit
    end
  end
  return more
end

-- The time from which a lease that has run out means a dead worker. A lease also runs out while Redis is away, or when
-- its clock jumps, because no worker can renew it then. Workers and APIs leave a sign of life at least every third of a
-- lease; a gap of more than half a lease between two signs shows that Redis was away. After it every live worker has
-- one lease of time to renew its own leases.
-- `lease` is the caller's in ms, nil for the last worker's; with `sign` the call leaves a sign of life.
local function rescue_from(lease, sign)
  local seen_at, rescued_from, last_lease = unpack(
    redis.call('HMGET', UPKEEP, 'seen_at', 'rescue_from', 'lease'))
  lease = lease or tonumber(last_lease or 15000)
  local from = math.min(tonumber(rescued_from or 0), now + lease)  -- the clock may have been set back
  if seen_at and now - seen_at > lease / 2 then
    from, sign = now + lease, true
  end
  if sign then
    begin_writing()
    redis.call('HSET', UPKEEP, 'seen_at', now, 'rescue_from', from, 'lease', lease)
  end
  return from, lease
end

-- Completes the move of an ended job.
local function repair_ended(id, job, queue, expires_at, deliveries)
  redis.call('PEXPIREAT', RECORD .. id, expires_at)
  remember_owner(id, job, tonumber(expires_at))
  redis.call('DEL', MESSAGE .. id)
  redis.call('ZREM', QUEUE .. queue, id)
  if job[LINES] then
    redis.call('PEXPIREAT', LOGS .. id, expires_at)
    redis.call('PEXPIREAT', OUTPUT .. id, expires_at)
  end
  if job[WEBHOOK] and not deliveries then
    add_delivery(id)
  end
  if string.sub(id, 1, #DELIVERY_ID) ~= DELIVERY_ID then
    redis.call('ZADD', INDEX_OF .. job[STATE], expires_at, id)
  end
end

-- Repairs a job whose move was left incomplete: queue, index and count follow its record. Returns the fault if no
-- worker would have come to the job.
local function repair(id, retain)
  local queue, created_at, run_at, expires_at, kind, deliveries = unpack(redis.call('HMGET', RECORD .. id,
    'queue', 'created_at', 'run_at', 'expires_at', 'type', 'deliveries'))
  local job = read_fields(id)
  begin_writing()
  if not job[STATE] then
    redis.call('ZREM', INDEX, id)
    return
  end
  if job[COUNTED] then
    quotas().count_job(job[COUNTED], id, job[STATE], expires_at)
  end
  if job[STATE] == 'pending' then
    if not redis.call('ZSCORE', QUEUE .. queue, id) then
      redis.call('SET', MESSAGE .. id, message_of(kind, id), 'NX')
      redis.call('SADD', QUEUES, queue)
      redis.call('ZADD', QUEUE .. queue, math.max(created_at, run_at or 0), id)
      wake(queue)
      return 'pending in no queue'
    end
  elseif job[STATE] == 'running' then
    if not redis.call('ZSCORE', LEASES .. queue, job[FENCING_TOKEN] .. ':' .. id) then
      release(queue, id, job, 'lost', nil, retain.cancelled)
      flush()
      return 'running without a lease'
    end
  else
    repair_ended(id, job, queue, expires_at, deliveries)
  end
end

-- Whether a worker lives, and neither renews this lease nor keeps it beyond its time. Then a fail-over has lost a write:
-- the claim that replaced this one, or the end of the attempt. The job did its worker no harm.
local function is_forgotten(worker_id, lease)
  local ends = worker_id and redis.call('ZSCORE', WORKERS, worker_id)
  if not ends or tonumber(ends) <= now then
    return false
  end
  local overdue = redis.call('HGET', WORKER .. worker_id, 'overdue')
  return overdue and not string.find(' ' .. overdue .. ' ', ' ' .. lease .. ' ', 1, true)
end

-- Rescues a job whose lease has run out: the attempt is charged, unless a fail-over explains it.
local function rescue(queue, id, fencing_token, retain)
  local job = read_fields(id)
  if job[STATE] ~= 'running' or job[FENCING_TOKEN] ~= fencing_token then
    repair(id, retain)  -- a claim or the end of an attempt was left incomplete
    end_lease(queue, fencing_token .. ':' .. id)
    return false
  end
  end_lease(queue, fencing_token .. ':' .. id)
  local attempt, max_attempts, worker_id, cancel_requested = unpack(
    redis.call('HMGET', RECORD .. id, 'attempt', 'max_attempts', 'worker', 'cancel_requested'))
  -- `lost` tells a late outcome from a repeat
  if is_forgotten(worker_id, fencing_token .. ':' .. id) then
    release(queue, id, job, 'lost', nil, retain.cancelled, {'lost', fencing_token})
    note_move(id, 'rescued')
    return true
  end
  local words = {'lost', fencing_token, 'errors', errors_with(id, '{"code":"worker_lost","message":"The worker '
    .. (worker_id or '?') .. ' stopped renewing its lease while it ran this attempt.","hint":"Look in that worker\'s '
    .. 'log for a crash, an out-of-memory kill or a blocked event loop.","retryable":true,"attempt":' .. attempt
    .. '}')}
  if tonumber(attempt) < tonumber(max_attempts) or cancel_requested then
    put_back(queue, id, job, 'lost', 0, retain.cancelled, words)
  else
    settle(queue, id, job, 'failed', retain.failed, words)
    note_move(id, 'failed')
  end
  note_move(id, 'rescued')
  return true
end

-- Rescues `limit` jobs of a queue whose leases have run out; appends their ids to `rescued`. Returns the time until
-- which no job is rescued, 0 if there is no such time.
local function rescue_all(queue, lease, rescued, retain, limit)
  local first = redis.call('ZRANGE', LEASES .. queue, 0, 0, 'WITHSCORES')[2]
  if not first or tonumber(first) > now then
    return 0
  end
  local from = rescue_from(lease)
  if from > now then
    return from
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASES .. queue, '-inf', now, 'LIMIT', 0, limit)) do
    local fencing_token, id = string.match(member, '^(%d+):(.*)$')
    if rescue(queue, id, fencing_token, retain) then
      rescued[#rescued + 1] = id
    end
  end
  flush()
  return 0
end

-- Fails a job that was not started in time. A job is among the deadlines only until it starts or ends.
local function fail_unstarted(id, retain)
  local job = read_fields(id)
  if job[STATE] == 'pending' then
    local queue = redis.call('HGET', RECORD .. id, 'queue')
    settle(queue, id, job, 'failed', retain.failed, {'errors', errors_with(id, '{"code":"job_expired","message":"No worker '
      .. 'was free to start the job in time.","hint":"Submit it again, with a later start_within_seconds, or start '
      .. 'more workers.","retryable":true,"attempt":0}')})
    note_move(id, 'failed')
    flush()
    redis.call('ZREM', QUEUE .. queue, id)
  else
    repair(id, retain)
  end
  redis.call('ZREM', START_BY, id)
end

-- Fails jobs that were not started in time; returns their number.
local function fail_late(retain, limit)
  local ids = redis.call('ZRANGEBYSCORE', START_BY, '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    fail_unstarted(id, retain)
  end
  return #ids
end

-- Rescues one running job, if its lease has run out, before the job is shown.
local function rescue_one(queue, id, fencing_token, retain)
  local ends = redis.call('ZSCORE', LEASES .. queue, fencing_token .. ':' .. id)
  if not ends then
    repair(id, retain)
  elseif tonumber(ends) <= now and rescue_from() <= now then
    rescue(queue, id, fencing_token, retain)
    flush()
  end
end
