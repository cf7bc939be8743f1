-- A worker's one call: finish a batch of attempts, rescue jobs whose leases ran out, fail jobs that were not
-- started in time, claim due jobs.
-- ARGV: worker id, step number, slots (jobs to claim at most), lease (ms),
--       retention of completed, failed, cancelled (s), number of queues, the queues in order,
--       then nine values per finished attempt: queue, id, lease, outcome, body, delay (ms), progress, lines,
--       artifacts
--         outcome completed: body is the result        failed, retry: body is the error
--         outcome released: handed back, the attempt is not charged        cancelled: body is ''
--         progress is JSON, or '' to leave the record's as it is; lines of its log as `append_lines` takes them;
--         artifacts is JSON, or '' if there are none, and counts for completed jobs
-- Returns {ms until a job of these queues is due or a lease ends, -1 if that is not known,
--          {per finished attempt 1 if it counts or 0 if the lease was lost},
--          {ids whose lease ran out},
--          {eight values per claim: queue, id, claim, attempt, max_attempts, message, params, request_id}}
-- The lease `claim:id` is the fence: `claim` counts all claims of a job, so that it never returns to a
-- former value, as `attempt` does when an attempt is handed back.
-- A step that is repeated, because its reply was lost or a command of it failed, finishes nothing twice and claims the
-- same jobs.

local worker, step, slots, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local retain = {completed = tonumber(ARGV[5]), failed = tonumber(ARGV[6]), cancelled = tonumber(ARGV[7])}
local queues = {unpack(ARGV, 9, 8 + ARGV[8])}
local first_finished = 9 + ARGV[8]

local function apply(queue, id, job, outcome, body, delay, progress, artifacts)
  if outcome == 'released' then
    return release(queue, id, job, delay, retain.cancelled)
  elseif outcome == 'retry' then
    return put_back(queue, id, job, delay, retain.cancelled, {'errors', errors_with(id, body)})
  end
  local words = {}
  if outcome == 'completed' then
    words = {'result', body}
    if artifacts ~= '' then
      words[3], words[4] = 'artifacts', artifacts
    end
  elseif outcome == 'failed' then
    words = {'errors', errors_with(id, body)}
  end
  if progress ~= '' then
    words[#words + 1] = 'progress'
    words[#words + 1] = progress
  end
  settle(id, job, outcome, retain[outcome], words)
end

-- Whether an earlier call has applied this outcome. One that failed half way has left the lease, and more to do.
local function was_applied(queue, id, job, lease, outcome)
  if redis.call('ZSCORE', LEASES .. queue, lease) then
    mend(id, retain)
    return true
  end
  local state, returned = job[STATE], outcome == 'retry' or outcome == 'released'
  return redis.call('HGET', RECORD .. id, 'lost') ~= job[FENCING_TOKEN]
    and (state == outcome or (returned and (state == 'pending' or state == 'cancelled')))
end

local function finish(queue, id, lease, outcome, body, delay, progress, lines, artifacts)
  local job = look(id)
  if not job[STATE] or job[FENCING_TOKEN] .. ':' .. id ~= lease then
    end_lease(queue, lease)
    return 0
  elseif job[STATE] == 'running' then
    apply(queue, id, job, outcome, body, tonumber(delay), progress, artifacts)
  elseif not was_applied(queue, id, job, lease, outcome) then
    return 0
  end
  if lines ~= '' then
    append_lines(id, job[FENCING_TOKEN], lines)
  end
  end_lease(queue, lease)
  return 1
end

local function add_claim(claims, queue, id, fencing_token, attempt, max_attempts, params, request_id)
  local n = #claims
  claims[n + 1], claims[n + 2], claims[n + 3], claims[n + 4] = queue, id, fencing_token, attempt
  claims[n + 5], claims[n + 6], claims[n + 7], claims[n + 8] = max_attempts, '', params or '', request_id or ''
end

-- Writes a claim into the record of a pending job.
local function start(id, fencing_token, attempt, version, created_at, counted)
  redis.call('HSET', RECORD .. id, 'state', 'running', 'attempt', attempt, 'claims', fencing_token, 'version', version,
    'worker', worker, 'started_at', now)
  move(id, 'pending', 'running', created_at, counted)
  publish(CHANGES .. id, version)
end

-- What an earlier call with this step number claimed, as far as it is still held. One that failed half way has written
-- the lease, but maybe not the record.
local function claimed_before(memory, claims)
  for queue, fencing_token, id in string.gmatch(memory, '(%S+) (%d+):(%S+)') do
    if redis.call('ZSCORE', LEASES .. queue, fencing_token .. ':' .. id) then
      local job = redis.call('HMGET', RECORD .. id, 'state', 'claims', 'attempt', 'max_attempts', 'params',
        'request_id', 'version', 'created_at', 'counted')
      local attempt, started = tonumber(job[3] or 0), job[1] == 'running' and job[2] == fencing_token
      if job[1] == 'pending' and tonumber(job[2] or 0) == fencing_token - 1 then
        attempt, started = attempt + 1, true
        start(id, fencing_token, attempt, job[7] + 1, job[8], job[9])
      end
      if started then
        redis.call('ZREM', QUEUE .. queue, id)
        if job[9] then
          quotas().count_job(job[9], id, 'running')
        end
        add_claim(claims, queue, id, tonumber(fencing_token), attempt, job[4], job[5], job[6])
      end
    end
  end
end

-- Claims due jobs of a queue. First it looks at them, so that worker and queue know of their leases before a record
-- changes; `memory` holds the claims of this step so far.
local function claim_from(queue, limit, claims, memory)
  local ids = redis.call('ZRANGEBYSCORE', QUEUE .. queue, '-inf', now, 'LIMIT', 0, limit)
  local jobs, names, fencing_tokens, leases, late, in_time = {}, {}, {}, {}, {}, {}
  for _, id in ipairs(ids) do
    local job = redis.call('HMGET', RECORD .. id, 'state', 'attempt', 'claims', 'version', 'created_at',
      'max_attempts', 'params', 'request_id', 'start_by', 'counted')
    local pending, start_by = job[1] == 'pending', job[9]
    if pending and start_by and tonumber(start_by) <= now and redis.call('ZSCORE', DEADLINES, id) then
      late[#late + 1] = id  -- it has not started before
    elseif pending then
      local n, fencing_token = #jobs + 1, (job[3] or 0) + 1
      jobs[n], names[n], fencing_tokens[n] = job, id, fencing_token
      leases[2 * n - 1], leases[2 * n] = now + lease, fencing_token .. ':' .. id
      memory[#memory + 1] = queue .. ' ' .. leases[2 * n]
      if start_by then
        in_time[#in_time + 1] = id
      end
    end
  end
  if #jobs > 0 then
    redis.call('HSET', WORKER .. worker, 'step', step, 'claimed', table.concat(memory, ' '))
    redis.call('ZADD', LEASES .. queue, unpack(leases))
  end
  for n, job in ipairs(jobs) do
    local id, fencing_token, attempt = names[n], fencing_tokens[n], (job[2] or 0) + 1
    start(id, fencing_token, attempt, job[4] + 1, job[5], job[10])
    add_claim(claims, queue, id, fencing_token, attempt, job[6], job[7], job[8])
  end
  flush()
  if #ids > 0 then
    redis.call('ZREMRANGEBYRANK', QUEUE .. queue, 0, #ids - 1)
  end
  if #in_time > 0 then
    redis.call('ZREM', DEADLINES, unpack(in_time))
  end
  for _, id in ipairs(late) do
    expire(id, retain.failed)
  end
end

local function claim_due(claims)
  local memory = {}
  for _, queue in ipairs(queues) do
    if slots * 8 > #claims then
      claim_from(queue, math.floor(slots - #claims / 8), claims, memory)
    end
  end
end

local function add_messages(claims)
  local keys = {}
  for i = 2, #claims, 8 do
    keys[#keys + 1] = MESSAGE .. claims[i]
  end
  for n, message in ipairs(redis.call('MGET', unpack(keys))) do
    claims[n * 8 - 2] = message or ''
  end
end

-- The time until something of these queues wants this worker. A full one leaves what is due to others.
local function next_due(full, rescued_from)
  local next = -1
  local function at_latest(score)
    if score and (next < 0 or score - now < next) then
      next = math.max(1, score - now)
    end
  end
  for _, queue in ipairs(queues) do
    local first = redis.call('ZRANGE', QUEUE .. queue, 0, 0, 'WITHSCORES')[2]
    if not full then
      redis.call('DEL', WAKE .. queue)
      local ends = redis.call('ZRANGE', LEASES .. queue, 0, 0, 'WITHSCORES')[2]
      at_latest(first)
      at_latest(ends and math.max(ends, rescued_from))
    elseif first and tonumber(first) <= now then
      wake(queue)
    else
      at_latest(first)  -- to wake another one then
    end
  end
  if not full then
    at_latest(redis.call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')[2])
  end
  return next
end

local verdicts, rescued, claims, rescued_from = {}, {}, {}, 0
if #ARGV >= first_finished then
  for i = first_finished, #ARGV, 9 do
    verdicts[#verdicts + 1] = finish(unpack(ARGV, i, i + 8))
  end
  flush()
end
for _, queue in ipairs(queues) do
  rescued_from = math.max(rescued_from, rescue_all(queue, lease, rescued, retain))
end
expire_late(retain.failed, 100)
local last = redis.call('HMGET', WORKER .. worker, 'step', 'claimed', 'host')
local last_step = tonumber(last[1] or 0)
if step == last_step then
  claimed_before(last[2], claims)
elseif step > last_step and slots > 0 then
  if #verdicts == 0 then
    begin_writing()
  end
  claim_due(claims)
end
if #claims > 0 then
  if not last[3] then  -- the heartbeat sees to it from its first beat on
    redis.call('PEXPIRE', WORKER .. worker, MEMORY)
  end
  add_messages(claims)
end
flush()
if step % 10 == 0 then  -- often enough to keep up with what retires
  prune(1000, retain)
end
local outdated = step < last_step  -- it has looked at nothing, so it must not take the wake-up
local wait = next_due(outdated or #claims >= slots * 8, rescued_from)
wake_workers()
return {wait, verdicts, rescued, claims}
